"""Recipes, the archives built from them, and what is noticed when one is not what it says."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpc_runner.errors import ConfigError, ImageError
from hpc_runner.sandbox import bootstrap, images
from hpc_runner.sandbox.docker import DockerRuntime
from hpc_runner.sandbox.images import Recipe
from hpc_runner.sandbox.spec import Image

CONFIG = {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "WorkingDir": "/"}


def _ignore(line: str) -> None:
    """A progress line that nobody reads."""


# ---------------------------------------------------------------------------- recipes


@pytest.mark.parametrize(("name", "suite"), [("py311", "bookworm"), ("py313", "trixie")])
def test_each_python_is_a_recipe(name: str, suite: str) -> None:
    assert name in images.recipes()
    recipe = images.read_recipe(name)
    assert recipe.suite == suite
    assert "python3" in recipe.packages
    assert recipe.entry == ("/usr/bin/python3",)
    assert recipe.archive.name == f"{name}-{recipe.digest[:16]}.tar"


@pytest.mark.parametrize("name", images.recipes())
def test_its_dockerfile_does_what_the_builder_does(name: str) -> None:
    """The root file system that comes of it has the same digest (tried with both of them)."""
    file = images.containers_dir() / name / "Dockerfile"
    text = images.dockerfile(images.read_recipe(name))
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert file.read_text() == text


@pytest.mark.parametrize("name", ["pyton", "../py311", "", "Python"])
def test_an_unknown_image_is_named_with_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match=r"has no recipe; there are .*py311"):
        images.read_recipe(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("suite = ", "not a TOML file"),
        ("suite = 1\npackages = []\nentry = []\nenv = {}", "'suite' must be a str, found 1"),
        ("suite = 'a'\nentry = []\nenv = {}", "'packages' must be a list, found 'nothing'"),
        ("suite = 'a'\npackages = [1]\nentry = []\nenv = {}", "1 must be a string"),
        ("suite = 'a'\npackages = []\nentry = []\nenv = {}\nx = 1", "'x' is not known"),
    ],
)
def test_a_recipe_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        images.read_recipe("mine", tmp_path)


@given(packages=st.lists(st.text(min_size=1), unique=True), seed=st.randoms())
def test_a_recipe_s_digest_is_that_of_its_content(packages: list[str], seed: object) -> None:
    shuffled = sorted(packages, key=lambda name: hashlib.sha256(repr(name).encode()).digest())
    one = Recipe("a", "bookworm", tuple(packages), ("/bin/sh",), {})
    assert one.digest == Recipe("b", "bookworm", tuple(shuffled), ("/bin/sh",), {}).digest
    assert one.digest != Recipe("a", "trixie", tuple(packages), ("/bin/sh",), {}).digest
    assert one.digest != Recipe("a", "bookworm", (*packages, "more"), ("/bin/sh",), {}).digest


def test_an_installed_wheel_has_the_recipes_and_the_profile(checkout: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")  # noqa: S202 (made two lines above)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"  # before the checkout
        "from hpc_runner.sandbox import images; print(images.containers_dir(), images.recipes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "site")],
        capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip
    installed = tmp_path / "site" / "hpc_runner" / "containers_data"
    assert done.stdout.split()[0] == str(installed)
    assert (installed / "seccomp.json").is_file()
    assert "'py311'" in done.stdout


# --------------------------------------------------------------------------- archives


def _rootfs(path: Path, content: bytes = b"hello") -> Path:
    with tarfile.open(path, "w:") as tar:
        item = tarfile.TarInfo("./etc/motd")
        item.size = len(content)
        tar.addfile(item, io.BytesIO(content))
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    target = tmp_path / "archive.tar"
    rootfs = _rootfs(tmp_path / "rootfs.tar")
    bootstrap.write_archive(target, rootfs, "hpc-runner-test", CONFIG, "amd64")
    return target


def test_the_same_root_file_system_gives_the_same_archive(archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    bootstrap.write_archive(other, tmp_path / "rootfs.tar", "hpc-runner-test", CONFIG, "amd64")
    assert other.read_bytes() == archive.read_bytes()
    image = images.read_archive("test", archive)
    assert image.reference == f"hpc-runner-test:{image.digest.hex()[:12]}"
    assert images.configuration(image)["config"] == CONFIG
    images.verify(image)

    changed = _rootfs(tmp_path / "changed.tar", b"other")
    bootstrap.write_archive(other, changed, "hpc-runner-test", CONFIG, "amd64")
    assert images.read_archive("test", other).reference != image.reference


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_version_of_tar_does_not_show(tmp_path: Path, kind: int) -> None:
    made, layer, again = (tmp_path / name for name in ("made.tar", "layer.tar", "again.tar"))
    with tarfile.open(made, "w:", format=kind) as tar:
        folder, file, link = (tarfile.TarInfo(name) for name in ("./bin", "./bin/su", "./sh"))
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        file.size, file.mode, file.mtime, file.uid = 4, 0o750, 1_700_000_000, 7
        file.uname = "games" if kind == tarfile.GNU_FORMAT else ""
        link.type, link.linkname = tarfile.SYMTYPE, "bin/su"
        tar.addfile(folder)
        tar.addfile(file, io.BytesIO(b"text"))
        tar.addfile(link)
    bootstrap.write_layer(layer, made)
    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    assert digest == "f81bae2c769767ed8a4fe91b6697f177a7388fa76d766297502ded705ad63c45"
    bootstrap.write_layer(again, layer)
    assert again.read_bytes() == layer.read_bytes()
    with tarfile.open(layer) as tar:
        told = [(i.name, i.type, oct(i.mode), i.uid, i.mtime, i.linkname) for i in tar]
        content = tar.extractfile("./bin/su")
        assert content is not None and content.read() == b"text"
    assert told[1] == ("./bin/su", tarfile.REGTYPE, "0o750", 7, 1_700_000_000, "")
    assert told[2][-1] == "bin/su"


def test_a_changed_layer_is_noticed(archive: Path) -> None:
    image = images.read_archive("test", archive)
    archive.write_bytes(archive.read_bytes().replace(b"hello", b"jello"))
    with pytest.raises(ImageError, match=r"layer .* is sha256:.*, not sha256:.*remove it"):
        images.verify(image)


def test_a_changed_configuration_is_noticed(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes().replace(b"PATH=/bin", b"PATH=/bon"))
    with pytest.raises(ImageError, match="its configuration is sha256:"):
        images.read_archive("test", archive)


def test_another_image_than_the_pinned_one_is_noticed(archive: Path) -> None:
    with pytest.raises(ImageError, match=r"holds sha256:.*, not sha256:0000"):
        images.verify(Image("test", "x:y", bytes(32), archive))
    with pytest.raises(ImageError, match="not on this machine"):
        images.verify(Image("test", "x:y", bytes(32)))


def test_what_is_no_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    for content in (b"", b"text", whole[:700], _rootfs(tmp_path / "r.tar").read_bytes()):
        archive.write_bytes(content)
        with pytest.raises(ImageError, match=r"not a docker-archive.*rm "):
            images.read_archive("test", archive)
    archive.write_bytes(whole[: len(whole) // 2 // 512 * 512])
    with pytest.raises(ImageError, match="remove it"):
        images.verify(images.read_archive("test", archive))


def test_an_archive_without_a_tag_is_refused(archive: Path) -> None:
    text = archive.read_bytes()
    tags = re.search(rb'\["hpc-runner-test:[0-9a-f]+"\]', text)
    assert tags
    archive.write_bytes(text.replace(tags[0], b"[]".ljust(len(tags[0]))))
    with pytest.raises(ImageError, match="has no tag"):
        images.read_archive("test", archive)


# --------------------------------------------------------------------------- building


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An mmdebstrap that writes a small root file system and counts its runs; its path."""
    _rootfs(tmp_path / "small.tar")
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "mmdebstrap"
    program.write_text(
        f"#!/bin/sh\necho run >> {tmp_path}/runs\nenv > {tmp_path}/environment\n"
        f"echo 'I: creating tarball...' >&2\nsleep 0.3\ncat {tmp_path}/small.tar\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return program


def test_an_image_is_built_once_with_progress(builder: Path, tmp_path: Path) -> None:
    assert images.find("py311") is None
    assert "can be built" in images.obtainable("py311").reason
    left = images.cache_dir() / ".py311.killed"
    left.mkdir(parents=True)
    lines: list[str] = []
    image = images.ensure("py311", lines.append)
    assert lines[0].startswith("building image 'py311'")
    assert lines[1] == "image 'py311': creating tarball"
    assert re.fullmatch(r"image 'py311': 0 MB, sha256:[0-9a-f]{12}, built in \d s", lines[-1])
    assert images.find("py311") == images.ensure("py311", _ignore) == image
    images.verify(image)
    labels = images.configuration(image)["config"]["Labels"]
    assert labels == {images.RECIPE_LABEL: images.read_recipe("py311").digest}
    assert (tmp_path / "runs").read_text() == "run\n"
    assert sorted(path.suffix for path in images.cache_dir().iterdir()) == [".lock", ".tar"]


def test_builders_at_the_same_time_build_once(builder: Path, tmp_path: Path) -> None:
    found: list[Image] = []
    threads = [
        threading.Thread(target=lambda: found.append(images.ensure("py311", _ignore)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1
    assert (tmp_path / "runs").read_text() == "run\n"


def test_no_secret_reaches_the_builder(
    builder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-12345")
    images.ensure("py311", _ignore)
    environment = (tmp_path / "environment").read_text()
    assert "sk-12345" not in environment
    assert f"SOURCE_DATE_EPOCH={bootstrap.EPOCH}" in environment


def test_a_build_that_fails_says_why_and_leaves_nothing(builder: Path) -> None:
    builder.write_text("#!/bin/sh\necho 'E: no such mirror' >&2\nexit 25\n")
    with pytest.raises(ImageError, match=r"mmdebstrap failed: E: no such mirror\. It needs"):
        images.ensure("py311", _ignore)
    assert [path.suffix for path in images.cache_dir().iterdir()] == [".lock"]


def test_keys_that_are_too_old_are_no_reason_to_trust(builder: Path) -> None:
    said = "W: GPG error: http://deb.debian.org trixie InRelease: NO_PUBKEY 6ED0E7B82643E131"
    builder.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 25\n")
    with pytest.raises(ImageError, match=r"upgrade the package debian-archive-keyring .*NO_PUBKEY"):
        images.ensure("py313", _ignore)


def test_an_image_is_built_again_when_asked(builder: Path, tmp_path: Path) -> None:
    image = images.ensure("py311", _ignore)
    assert images.ensure("py311", _ignore, again=True) == image
    _rootfs(tmp_path / "small.tar", b"updated")
    assert images.ensure("py311", _ignore, again=True).digest != image.digest
    assert (tmp_path / "runs").read_text() == "run\n" * 3


def test_a_build_that_hangs_is_ended(builder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder.write_text("#!/bin/sh\nsleep 600\n")
    monkeypatch.setattr(bootstrap, "BUILD_S", 0.3)
    with pytest.raises(ImageError, match="no end after"):
        images.ensure("py311", _ignore)


def test_without_mmdebstrap_it_says_what_to_install(
    builder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    assert not images.obtainable("py311").ok
    archive = re.escape(str(images.read_recipe("py311").archive))
    with pytest.raises(ImageError, match=rf"apt-get install mmdebstrap.*docker save.*-o {archive}"):
        images.ensure("py311", _ignore)


def test_a_cache_that_can_not_be_written_is_named(
    builder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ImageError, match="set HPC_RUNNER_IMAGES"):
        images.ensure("py311", _ignore)


def test_archives_lie_where_the_site_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPC_RUNNER_IMAGES", str(tmp_path / "images"))
    assert images.cache_dir() == tmp_path / "images"
    assert images.read_recipe("py311").archive.parent == tmp_path / "images"
    monkeypatch.setenv("HPC_RUNNER_IMAGES", "images")
    with pytest.raises(ConfigError, match="HPC_RUNNER_IMAGES must be an absolute path"):
        images.cache_dir()


@pytest.mark.parametrize("name", ["py311", "py313"])
def test_the_image_has_the_whole_standard_library(docker_engine: DockerRuntime, name: str) -> None:
    """But for what a program without a screen or a package manager has no use for."""
    image = docker_engine.ensure_image(name, print)
    assert image is not None
    code = (
        "import importlib.util, json, sys, sysconfig, glob, os, zoneinfo;"
        "names = [n for n in sys.stdlib_module_names if importlib.util.find_spec(n) is None];"
        "zoneinfo.ZoneInfo('Europe/Zurich');"
        "lib = sysconfig.get_path('stdlib');"
        "flags = {open(f, 'rb').read(8)[4] for f in glob.glob(lib + '/__pycache__/*.pyc')};"
        "version = 'py%d%d' % sys.version_info[:2];"
        "pip = os.path.exists('/usr/bin/pip');"
        "print(json.dumps([sorted(names), sorted(flags), pip, version]))"
    )
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", image.reference,
         "/usr/bin/python3", "-c", code],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    missing, flags, pip, version = json.loads(done.stdout)
    elsewhere = {"_msi", "_overlapped", "_scproxy", "_winapi", "_wmi", "msilib", "msvcrt", "nt",
                 "winreg", "winsound", "idlelib", "tkinter", "_tkinter", "ensurepip", "turtledemo",
                 "nturl2path"}  # fmt: skip
    assert set(missing) <= elsewhere
    assert flags == [1], "byte code that is never checked against its source"
    assert not pip
    assert version == name


# ---------------------------------------------------------------------------- seccomp


def test_the_seccomp_profile_is_well_formed() -> None:
    profile = json.loads((images.containers_dir() / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert all(entry["subArchitectures"] == [] for entry in profile["archMap"])
    free = [n for rule in profile["syscalls"] if "args" not in rule for n in rule["names"]]
    assert len(free) == len(set(free)), "each name once"
    conditional = {n for rule in profile["syscalls"] if "args" in rule for n in rule["names"]}
    assert conditional == {"personality", "socket"}
    assert not conditional & set(free)
    assert all(rule["comment"] for rule in profile["syscalls"])
