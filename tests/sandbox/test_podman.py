"""What Podman's command depends on, and what is said where it can't be had.

Its containers for real: tests/conformance.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_runtimes import SPEC, _program

from hpc_runner.errors import ImageError, RuntimeFailure
from hpc_runner.sandbox import podman
from hpc_runner.sandbox.podman import PodmanRuntime, Site, site_of
from hpc_runner.sandbox.runtimes import AgentSpec

ALL = ["cpuset", "cpu", "memory", "pids"]
SUBORDINATE = {"uidmap": [
    {"container_id": 0, "host_id": 1000, "size": 1},
    {"container_id": 1, "host_id": 100000, "size": 65536},
]}  # fmt: skip
ALONE = {"uidmap": [{"container_id": 0, "host_id": 1000, "size": 1}]}


def host(rootless: bool, **changes: Any) -> dict[str, Any]:
    """The part of `podman info` that matters, of a workstation with systemd."""
    values = {
        "security": {"rootless": rootless},
        "cgroupControllers": ALL,
        "cgroupVersion": "v2",
        "cgroupManager": "systemd",
        "idMappings": SUBORDINATE if rootless else {"uidmap": None},
    }
    return values | changes


def command(site: Site, **changes: Any) -> str:
    made = PodmanRuntime(agent=Path("/a.py"), seccomp=Path("/s.json"), site=site).command(
        replace(SPEC, **changes)
    )
    return " ".join(made)


ROOT = site_of(host(False), in_job=False)
USER = site_of(host(True), in_job=False)


@pytest.mark.parametrize(
    ("found", "in_job", "limits"),
    [
        (host(False), True, True),
        (host(False, cgroupVersion="v1", cgroupManager="cgroupfs"), False, True),
        (host(False, cgroupControllers=["cpu", "pids"]), False, False),
        (host(True), False, True),
        (host(True), True, False),
        (host(True, cgroupManager="cgroupfs"), False, False),
        (host(True, cgroupVersion="v1"), False, False),
        (host(True, cgroupControllers=None), False, False),
    ],
)
def test_a_container_has_limits_of_its_own_where_it_can(
    found: dict[str, Any], in_job: bool, limits: bool
) -> None:
    site = site_of(found, in_job=in_job)
    assert site.limits is limits
    words = command(site)
    assert (f"--memory {1 << 30} --memory-swap {1 << 30} --pids-limit 300" in words) is limits
    # Else an ordinary user's stays where the limits of the batch job are.
    stays = "podman --cgroup-manager cgroupfs run" in words
    assert stays is (site.rootless and not limits)


def test_it_runs_as_nobody_where_there_is_one() -> None:
    for site in (ROOT, USER):
        assert "--user 65534:65534 --cap-drop ALL --security-opt" in command(site)
    alone = site_of(host(True, idMappings=ALONE), in_job=False)
    assert "--user 0:0 --cap-drop ALL --cap-add SETFCAP --security-opt" in command(alone)


def test_limits_are_never_above_our_own() -> None:
    assert "--ulimit nofile=1000:1000 --ulimit nproc=50:50" in command(
        replace(ROOT, open_files=1000, processes=50)
    )
    assert 0 < ROOT.processes <= int(Path("/proc/sys/kernel/pid_max").read_text())


def test_a_path_that_can_not_be_mounted_is_named() -> None:
    assert "--volume /a, b:/opt/hpc_runner/mounts/a, b:ro" in command(ROOT, mounts=(Path("/a, b"),))
    with pytest.raises(RuntimeFailure, match="can't mount /a:b: it has a colon"):
        command(ROOT, mounts=(Path("/a:b"),))


def test_it_needs_an_image() -> None:
    with pytest.raises(ImageError, match="needs an image"):
        PodmanRuntime(site=ROOT).command(AgentSpec("a", 1, "limits", 1 << 30, 100))


def test_a_runtime_directory_that_is_not_there_is_not_passed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert PodmanRuntime().environment()["XDG_RUNTIME_DIR"] == str(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "of the login node"))
    assert "XDG_RUNTIME_DIR" not in PodmanRuntime().environment()


def _info(where: Path, **changes: Any) -> PodmanRuntime:
    """A podman that says this of itself."""
    info = {"host": host(True, **changes), "version": {"Version": "9.8"}}
    (where / "info.json").write_text(json.dumps(info))
    return PodmanRuntime(str(_program(where / "podman", f"cat {where}/info.json")))


def test_what_it_can_not_give_is_said(tmp_path: Path) -> None:
    found = _info(tmp_path, cgroupManager="cgroupfs", idMappings=ALONE).available()
    assert found.ok
    assert found.reason == (
        "Podman 9.8 answers, as an ordinary user, memory and processes are limited by the agent"
        " alone, containers run as this user, who has no subordinate ids"
    )
    assert _info(tmp_path).available().reason == "Podman 9.8 answers, as an ordinary user"


def test_a_service_elsewhere_will_not_do(tmp_path: Path) -> None:
    found = _info(tmp_path, serviceIsRemote=True).available()
    assert not found.ok
    assert "service elsewhere" in found.reason


@pytest.mark.parametrize("script", ["echo 'no subuid ranges' >&2; exit 125", "echo '[]'", "true"])
def test_a_podman_that_does_not_work_says_why(tmp_path: Path, script: str) -> None:
    found = PodmanRuntime(str(_program(tmp_path / "podman", script))).available()
    assert not found.ok
    assert "podman info doesn't answer" in found.reason
    assert "no subuid ranges" in found.reason or "125" not in script


def test_a_container_that_is_not_removed_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(podman, "KILL_S", 0.2)
    program = _program(tmp_path / "podman", "echo 'database is locked' >&2; exit 125")
    with pytest.raises(RuntimeFailure, match="'name' can't be removed: database is locked"):
        PodmanRuntime(str(program)).kill("name")
