"""How the double is spoken to, and what it keeps: as facts about the real Sarus say.

With HPC_RUNNER_SARUS the same is asked of a real one, but for what is the double's alone.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from sarus_host import SarusHost, configure, reference


def archive(path: Path, *, config: dict[str, object] | None = None, manifest: bool = True) -> Path:
    """A docker-archive of nearly nothing, or what ``docker export`` would make of it."""
    layer = path.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        tar.add(__file__, "usr/bin/program")
    settings = {"config": config or {}, "rootfs": {"type": "layers", "diff_ids": []}}
    named = [{"Config": "c.json", "RepoTags": ["x:y"], "Layers": ["l/layer.tar"]}]
    (path.parent / "c.json").write_text(json.dumps(settings))
    (path.parent / "m.json").write_text(json.dumps(named))
    with tarfile.open(path, "w") as tar:
        if manifest:
            tar.add(path.parent / "m.json", "manifest.json")
            tar.add(path.parent / "c.json", "c.json")
            tar.add(layer, "l/layer.tar")
        else:
            tar.add(__file__, "usr/bin/program")
    return path


def test_it_says_that_it_is_a_double(empty_sarus: SarusHost) -> None:
    assert empty_sarus.run("--version").stdout == "1.7.0-double\n"
    assert empty_sarus.run("help", "run").stdout.startswith(
        "This is a test double of Sarus, not Sarus."
    )


def test_help_of_a_command_stands_before_it(sarus: SarusHost) -> None:
    shown = sarus.run("help", "run")
    assert shown.returncode == 0 and "--mount" in shown.stdout
    refused = sarus.run("run", "--help")
    assert refused.returncode == 1 and "help" in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "--memory=1g", "IMAGE"],
        ["run", "--read-only", "IMAGE"],
        ["run", "--tmpfs=/tmp", "IMAGE"],
        ["run", "--network=none", "IMAGE"],
        ["run", "--user=0", "IMAGE"],
        ["run", "--entrypoint=", "IMAGE"],
        ["run", "--name"],
        ["run", "--init=yes", "IMAGE", "true"],
        ["run", "--pid=own", "IMAGE", "true"],
        ["run", "--workdir=here", "IMAGE", "true"],
        ["run", "--", "IMAGE", "true"],
        ["frobnicate"],
        ["images", "all"],
        ["kill"],
    ],
)
def test_what_it_does_not_understand_ends_with_1(sarus: SarusHost, arguments: list[str]) -> None:
    words = [reference(sarus) if word == "IMAGE" else word for word in arguments]
    done = sarus.run(*words)
    assert done.returncode == 1
    assert done.stderr and not done.stdout


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ("type=bind,src=/etc,dst=/x,ro", "not a valid bind mount option"),
        ("type=tmpfs,dst=/x", "not a valid mount type"),
        ("src=/etc,dst=/x", "'type' must be specified"),
        ("type=bind,src=etc,dst=/x", "absolute path"),
        ("type=bind,src=/etc,dst=x", "absolute path"),
        ("type=bind,src=/etc", "no destination"),
        ("type=bind,src=,dst=/x", "empty"),
        ("type=bind,src=/a,b,dst=/x", "not a valid bind mount option"),
        ("type=bind,src=/a=b,dst=/x", "repeated use of separator"),
        ("type=bind,src=/etc,src=/usr,dst=/x", "duplicated key"),
        ("type=bind,src=/no/such,dst=/x", ""),
    ],
)
def test_mounts_that_it_refuses(sarus: SarusHost, mount: str, message: str) -> None:
    done = sarus.run("run", f"--mount={mount}", reference(sarus), "true")
    assert done.returncode == 1
    assert message in done.stderr


def test_a_site_may_forbid_destinations(empty_sarus: SarusHost, tmp_path: Path) -> None:
    configure(
        empty_sarus, userMounts={"notAllowedPrefixesOfPath": ["/etc"], "notAllowedPaths": ["/x"]}
    )
    assert empty_sarus.run("load", str(archive(tmp_path / "a.tar")), "a").returncode == 0
    for place in ("/etc/hosts", "/x"):
        done = empty_sarus.run(
            "run", f"--mount=type=bind,src=/etc,dst={place}", "load/library/a", "true"
        )
        assert done.returncode == 1 and "Invalid mount request" in done.stderr


def test_verbose_talks_on_stdout(sarus: SarusHost) -> None:
    done = sarus.run("--verbose", "run", reference(sarus), "echo", "program")
    assert done.returncode == 0
    assert "[INFO]" in done.stdout and "program" in done.stdout.splitlines()


# ------------------------------------------------------------------------------- images


def test_only_what_was_loaded_runs_and_by_its_own_name(
    empty_sarus: SarusHost, tmp_path: Path
) -> None:
    made = str(archive(tmp_path / "a.tar"))
    for name in ("im", "im:t", "reg.example/ns/im:t"):
        assert empty_sarus.run("load", made, name).returncode == 0
    listed = empty_sarus.run("images").stdout.splitlines()
    assert listed[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE", "SERVER"]
    assert [line.split()[:2] for line in listed[1:]] == [
        ["load/library/im", "latest"],
        ["load/library/im", "t"],
        ["load/ns/im", "t"],
    ]
    assert empty_sarus.run("images", "--digests").stdout.count("<none>") == 3
    for name in ("im", "library/im:t", "load/library/im:other", "reg.example/ns/im:t"):
        done = empty_sarus.run("run", name, "true")
        assert done.returncode == 1 and "is not available" in done.stderr
    assert empty_sarus.run("rmi", "load/library/im:t").returncode == 0
    assert empty_sarus.run("rmi", "load/library/im:t").returncode == 1
    assert len(empty_sarus.run("images").stdout.splitlines()) == 3


def test_loading_again_replaces(empty_sarus: SarusHost, tmp_path: Path) -> None:
    first = archive(tmp_path / "a.tar")
    second = archive(tmp_path / "b.tar", config={"Env": ["A=1"]})
    ids = []
    for made in (first, second):
        assert empty_sarus.run("load", str(made), "im").returncode == 0
        [line] = empty_sarus.run("images").stdout.splitlines()[1:]
        ids.append(line.split()[2])
    assert ids[0] != ids[1]


def test_what_docker_export_makes_is_refused(empty_sarus: SarusHost, tmp_path: Path) -> None:
    done = empty_sarus.run("load", str(archive(tmp_path / "a.tar", manifest=False)), "im")
    assert done.returncode == 1 and "manifest.json" in done.stderr
    assert empty_sarus.run("images").stdout.count("\n") == 1


def test_names_that_are_refused(empty_sarus: SarusHost, tmp_path: Path) -> None:
    made = str(archive(tmp_path / "a.tar"))
    for name in ("Upper", "a/../b", "a:", "a@sha256:" + 64 * "0"):
        assert empty_sarus.run("load", made, name).returncode == 1, name


def test_there_is_no_registry(empty_sarus: SarusHost) -> None:
    done = empty_sarus.run("pull", "debian:12")
    assert done.returncode == 1 and "registry" in done.stderr


def test_the_centralized_repository(empty_sarus: SarusHost, tmp_path: Path) -> None:
    made = str(archive(tmp_path / "a.tar"))
    assert empty_sarus.run("load", "--centralized-repository", made, "im").returncode == 1
    configure(empty_sarus, centralizedRepositoryDir=str(empty_sarus.top / "central"))
    assert empty_sarus.run("load", "--centralized-repository", made, "im").returncode == 0
    assert empty_sarus.run("images").stdout.count("\n") == 1
    assert empty_sarus.run("images", "--centralized-repository").stdout.count("\n") == 2
    script = "run", "load/library/im", "/usr/bin/program"
    assert "is not available" in empty_sarus.run(*script).stderr
    done = empty_sarus.run("run", "--centralized-repository", *script[1:])
    assert "is not available" not in done.stderr
