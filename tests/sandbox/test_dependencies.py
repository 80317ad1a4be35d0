"""Dependencies come from wheels alone, once for each set, into directories that nobody changes."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandbox.wheels import make_wheel

from hpc_runner.errors import DependencyError, StorageError
from hpc_runner.sandbox import installer
from hpc_runner.sandbox.dependencies import (
    Manifest,
    ResolvedSet,
    cache_directory,
    distinct,
    read_sets,
    resolve,
    resolve_all,
    verify,
    write_sets,
)
from hpc_runner.sandbox.installer import Target, audit
from hpc_runner.sandbox.local import base_interpreter, check_interpreter

TARGET = Target(check_interpreter(base_interpreter()), base_interpreter())


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    house = tmp_path / "wheels"
    make_wheel(house, "tiny_sums", "1.0", {"tiny_sums.py": "def add(a, b):\n    return a + b\n"})
    make_wheel(house, "tiny_sums", "1.1", {"tiny_sums.py": "def add(a, b):\n    return b + a\n"})
    make_wheel(
        house,
        "tiny_more",
        "2.0",
        {"tiny_more/__init__.py": "from tiny_sums import add\n"},
        requires=("tiny-sums<1.1",),
    )
    return house


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def content(cache: Path, manifest: Manifest) -> Path:
    return cache / "content" / manifest.content


def test_a_set_is_resolved_with_what_it_needs(wheelhouse: Path, cache: Path) -> None:
    manifest = resolve(["tiny-more"], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    assert manifest.versions == {"tiny_more": "2.0", "tiny_sums": "1.0"}
    assert manifest.requirements == ("tiny-more",)
    assert manifest.source == f"wheelhouse {wheelhouse}"
    directory = content(cache, manifest)
    assert {"tiny_more/__init__.py", "tiny_sums.py"} <= set(manifest.files)
    assert verify(directory, manifest)
    code = f"import sys; sys.path.append({str(directory)!r}); import tiny_more as m"
    code += "; print(m.add(1, 2))"
    done = subprocess.run([base_interpreter(), "-I", "-c", code], capture_output=True, text=True)
    assert done.stdout == "3\n", done.stderr


def test_what_is_resolved_is_read_only(wheelhouse: Path, cache: Path) -> None:
    manifest = resolve(["tiny-more"], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    directory = content(cache, manifest)
    for path in (directory, *directory.rglob("*")):
        assert not path.stat().st_mode & 0o222, path
        assert path.stat().st_mode & 0o444 == 0o444, "the sandbox's user reads it"


def test_bytecode_comes_with_it(wheelhouse: Path, cache: Path) -> None:
    manifest = resolve(["tiny-sums"], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    assert any(name.endswith(".pyc") for name in manifest.files)


def test_a_set_is_resolved_once(wheelhouse: Path, cache: Path) -> None:
    first = resolve(["tiny-sums", "tiny-more"], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    made = content(cache, first).stat().st_ino
    (record,) = (cache / "sets").iterdir()
    written = record.stat().st_mtime_ns
    again = resolve(
        ["tiny-more", " tiny-sums", "tiny-more"], TARGET, wheelhouse=str(wheelhouse), cache=cache
    )
    assert again == first
    assert content(cache, again).stat().st_ino == made
    assert record.stat().st_mtime_ns == written


def test_another_wheel_under_the_same_name_is_seen(wheelhouse: Path, cache: Path) -> None:
    before = resolve(["tiny-sums"], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    make_wheel(wheelhouse, "tiny_sums", "1.2", {"tiny_sums.py": "add = max\n"})
    after = resolve(["tiny-sums"], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    assert (before.versions["tiny_sums"], after.versions["tiny_sums"]) == ("1.1", "1.2")
    assert verify(content(cache, before), before), "what another run uses is still there"


def test_a_damaged_directory_is_made_anew(wheelhouse: Path, cache: Path) -> None:
    manifest = resolve(["tiny-sums"], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    module = content(cache, manifest) / "tiny_sums.py"
    module.chmod(0o644)
    module.write_text("import os; os._exit(0)\n")
    assert not verify(content(cache, manifest), manifest)
    again = resolve(["tiny-sums"], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    assert verify(content(cache, again), again)
    assert "_exit" not in (content(cache, again) / "tiny_sums.py").read_text()


def test_many_resolvers_at_once_end_in_whole_directories(wheelhouse: Path, cache: Path) -> None:
    def once(_: int) -> Manifest:
        return resolve(["tiny-more"], TARGET, wheelhouse=str(wheelhouse), cache=cache)

    with ThreadPoolExecutor(6) as pool:
        manifests = list(pool.map(once, range(6)))
    assert all(verify(content(cache, manifest), manifest) for manifest in manifests)
    assert not list((cache / "content").glob(".staging-*"))


def test_a_set_that_cannot_be_had_names_the_reason_and_hinders_no_other(
    wheelhouse: Path, cache: Path
) -> None:
    sets = [("no-such-package",), ("tiny-sums",), ("tiny-more", "tiny-sums==1.1")]
    absent, fine, conflict = resolve_all(sets, TARGET, wheelhouse=str(wheelhouse), cache=cache)
    assert absent.directory is None and "no-such-package" in (absent.error or "")
    assert conflict.directory is None and "tiny-sums" in (conflict.error or "")
    assert fine.error is None and fine.directory and Path(fine.directory).is_dir()
    assert fine.versions == {"tiny_sums": "1.1"}


@pytest.mark.parametrize(
    "requirement",
    [
        "../evil",
        "/tmp",  # noqa: S108
        "file:///etc",
        "x @ https://example.org/x.whl",
        "-r/etc/passwd",
        "--index-url=https://example.org",
        "a\n--pre",
        "",
    ],
)
def test_nothing_but_names_reaches_the_resolver(
    requirement: str, wheelhouse: Path, cache: Path
) -> None:
    with pytest.raises(DependencyError, match="not the name of a package"):
        resolve([requirement], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    assert not cache.exists()


def test_sources_are_never_built(wheelhouse: Path, cache: Path, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    with zipfile.ZipFile(wheelhouse / "evil-1.0.zip", "w") as archive:
        archive.writestr("evil-1.0/setup.py", f"open({str(marker)!r}, 'w')")
        archive.writestr("evil-1.0/PKG-INFO", "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    with pytest.raises(DependencyError, match="evil"):
        resolve(["evil"], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    assert not marker.exists()


def test_nothing_of_a_package_is_executed(wheelhouse: Path, cache: Path, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    evil = f"open({str(marker)!r}, 'w')\n"
    files = {"evil.py": evil, "evil.pth": f"import sys; {evil}", "sitecustomize.py": evil}
    make_wheel(wheelhouse, "evil", "1.0", files | {"compileall.py": evil, "pip.py": evil})
    resolve(["evil"], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    assert not marker.exists()


def test_an_image_gets_wheels_for_its_own_python(wheelhouse: Path, cache: Path) -> None:
    make_wheel(
        wheelhouse, "only39", "1.0", {"only39.py": ""}, tag="cp39-cp39-manylinux_2_28_x86_64"
    )
    if os.uname().machine != "x86_64":
        pytest.skip("the wheel is for x86_64")
    image = Target("3.9.2", base_interpreter(), image=True)
    found = resolve(["only39"], image, wheelhouse=str(wheelhouse), cache=cache)
    assert found.versions == {"only39": "1.0"}
    assert found.python == "3.9.2"
    with pytest.raises(DependencyError, match="only39"):
        resolve(["only39"], TARGET, wheelhouse=str(wheelhouse), cache=cache)


def test_pip_does_it_where_there_is_no_uv(
    wheelhouse: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine with pip alone: what stands in for uv's absence is the search path."""
    monkeypatch.setenv("PATH", "/nowhere")
    try:
        manifest = resolve(["tiny-more"], TARGET, wheelhouse=str(wheelhouse), cache=cache)
    except DependencyError as error:
        pytest.skip(str(error))
    if not manifest.resolver.startswith("pip "):
        pytest.skip(f"{manifest.resolver} lies beside the interpreter")
    assert manifest.versions == {"tiny_more": "2.0", "tiny_sums": "1.0"}
    with pytest.raises(DependencyError, match="no-such-package"):
        resolve(["no-such-package"], TARGET, wheelhouse=str(wheelhouse), cache=cache)


def test_the_cache_is_where_the_desktop_rules_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_directory() == Path("/somewhere/hpc_runner/deps")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which those rules say is to be ignored
    monkeypatch.setenv("HOME", "/home/x")
    assert cache_directory() == Path("/home/x/.cache/hpc_runner/deps")


def test_a_set_is_the_same_in_any_order() -> None:
    assert distinct(["b", " a", "b"]) == distinct(["a", "b"]) == ("a", "b")


def test_a_cache_that_cannot_be_written_is_said(wheelhouse: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="XDG_CACHE_HOME"):
        resolve(["tiny-sums"], TARGET, wheelhouse=str(wheelhouse), cache=tmp_path / "file" / "x")


def test_the_file_of_a_wave(tmp_path: Path) -> None:
    path = tmp_path / "dependencies.json"
    assert read_sets(path) == {}
    had = ResolvedSet(requirements=("a",), directory="/content/x", versions={"a": "1.0"})
    not_had = ResolvedSet(requirements=("a",), error="no")
    write_sets(path, {"py311": [had], "py38": [not_had]})
    assert read_sets(path) == {"py311": {("a",): had}, "py38": {("a",): not_had}}
    for damaged in ("{", "[]", '{"environments": {"py311": 7}}'):
        path.write_text(damaged)
        with pytest.raises(StorageError, match=r"dependencies\.json"):
            read_sets(path)


# The resolver's surroundings


def test_no_key_of_the_host_reaches_the_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/evil")
    monkeypatch.setenv("UV_INDEX_URL", "https://mirror.example/simple")
    told = installer._environment(None)
    assert "ANTHROPIC_API_KEY" not in told and "PYTHONPATH" not in told
    assert told["UV_INDEX_URL"] == "https://mirror.example/simple"
    assert "UV_INDEX_URL" not in installer._environment("/wheels")


def test_a_reason_holds_no_password() -> None:
    said = subprocess.CompletedProcess(["x"], 1, "", "× no\n  ╰─▶ https://me:secret@example.org/x")
    assert installer._said(said) == "no https://...@example.org/x"


# The audit


def fake_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    program = tmp_path / "bin" / "pip-audit"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport json, sys\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_known_vulnerabilities_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {
        "dependencies": [
            {"name": "fine", "version": "1", "vulns": []},
            {"name": "skipped", "skip_reason": "not on an index"},
            {
                "name": "flask",
                "version": "0.5",
                "vulns": [{"id": "PYSEC-2019-179", "fix_versions": ["1.0"], "aliases": []}],
            },
        ],
        "fixes": [],
    }
    told = f"assert sys.argv[-2:] == ['--path', '{tmp_path}']"
    body = f"{told}\nprint(json.dumps({answer}))\nsys.exit(1)"
    fake_audit(tmp_path, monkeypatch, body)
    assert audit([tmp_path]) == [
        "flask 0.5 has the known vulnerability PYSEC-2019-179, fixed in 1.0"
    ]
    assert audit([]) == []


def test_an_audit_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_audit(tmp_path, monkeypatch, "sys.exit('no network')")
    assert audit([tmp_path]) == ["pip-audit failed: no network"]
