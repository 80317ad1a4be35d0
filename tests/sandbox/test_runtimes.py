"""What a runtime promises: its exact command, a clean environment, a container that holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpc_runner.errors import ConfigError, ImageError, RuntimeFailure
from hpc_runner.sandbox import docker, local
from hpc_runner.sandbox.apptainer import ApptainerRuntime
from hpc_runner.sandbox.docker import DockerRuntime
from hpc_runner.sandbox.local import LocalRuntime, check_interpreter
from hpc_runner.sandbox.podman import PodmanRuntime, Site
from hpc_runner.sandbox.runtimes import AUTO, RUNTIMES, AgentSpec, Image, Runtime, choose
from hpc_runner.sandbox.sarus import SarusRuntime

GOLDEN = Path(__file__).parents[1] / "golden"
PROBE = Path(__file__).with_name("kernel_probe.py")

SPEC = AgentSpec(
    name="hpc-runner-20261124-1a2b-0003-0",
    slots=4,
    require_isolation="filtered",
    memory_bytes=1 << 30,
    processes=300,
    image=Image("py311", "hpc-runner-py311:0123456789ab", bytes(32)),
    mounts=(Path("/site/deps/content/aaaa"), Path("/site/deps/content/bbbb")),
)
FOR_GOLDEN: dict[str, Callable[[], Runtime]] = {
    "local": lambda: LocalRuntime(python="/usr/bin/python3", agent=Path("/site/agent.py")),
    "docker": lambda: DockerRuntime(
        agent=Path("/site/agent.py"), seccomp=Path("/site/containers/seccomp.json")
    ),
    "podman": lambda: PodmanRuntime(
        agent=Path("/site/agent.py"),
        seccomp=Path("/site/containers/seccomp.json"),
        site=Site(rootless=True, limits=False, nobody=True, open_files=4096, processes=32768),
    ),
    "apptainer": lambda: ApptainerRuntime(
        "apptainer", agent=Path("/site/agent.py"), cache=Path("/site/images")
    ),
    "sarus": lambda: SarusRuntime(
        program="/opt/sarus/bin/sarus",
        agent=Path("/site/agent.py"),
        options=("--centralized-repository",),
    ),
}


@pytest.mark.parametrize("name", RUNTIMES)
def test_command_is_the_golden_one(name: str) -> None:
    """UPDATE_GOLDEN=1 in the environment writes the files anew: look at the difference."""
    runtime = FOR_GOLDEN[name]()
    spec = SPEC if runtime.needs_image else replace(SPEC, image=None)
    text = "\n".join(runtime.command(spec)) + "\n"
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        file.write_text(text)
    assert file.read_text() == text


def test_every_runtime_is_named_as_in_the_table() -> None:
    assert {name: make().name for name, make in RUNTIMES.items()} == {n: n for n in RUNTIMES}
    assert set(AUTO) <= set(RUNTIMES)


def test_the_host_s_environment_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/secret")
    monkeypatch.setenv("DOCKER_HOST", "unix:///engine.sock")
    assert set(LocalRuntime().environment()) <= {"PATH", "LANG", "TMPDIR"}
    assert DockerRuntime().environment()["DOCKER_HOST"] == "unix:///engine.sock"
    for make in RUNTIMES.values():
        assert "secret" not in str(make().environment())


# ------------------------------------------------------------------------ the choice


def test_an_unknown_runtime_is_the_user_s_mistake() -> None:
    with pytest.raises(ConfigError, match="'dokcer' is not known; there are auto, local, docker"):
        choose("dokcer")


def test_a_named_runtime_that_does_not_work_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"'docker' doesn't work here.*can't be started.*install"):
        choose("docker")


def test_auto_falls_back_to_local_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    runtime, reason = choose("auto")
    assert runtime.name == "local"
    assert reason.startswith("local: Python ")
    assert "not docker: " in reason


def test_auto_passes_over_an_engine_whose_image_can_not_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _program(tmp_path / "docker", """echo '{"Version": "1.2", "Os": "linux"}'""")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("hpc_runner.sandbox.bootstrap.missing", lambda: "no mmdebstrap here")
    runtime, reason = choose("auto")
    assert runtime.name == "local"
    assert "not docker: Docker 1.2 answers, image 'py311' is not built" in reason
    assert choose("docker")[0].name == "docker"


def test_auto_needs_every_environment_s_image(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _program(tmp_path / "docker", """echo '{"Version": "1.2", "Os": "linux"}'""")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("hpc_runner.sandbox.bootstrap.missing", lambda: "")
    assert choose("auto", ["py311", "py313"])[0].name == "docker"
    runtime, reason = choose("auto", ["py311", "py39"])
    assert runtime.name == "local"
    assert "image 'py39' has no recipe; there are " in reason


def test_an_engine_that_hangs_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(docker, "PROBE_S", 0.3)
    found = DockerRuntime(str(_program(tmp_path / "docker", "exec sleep 60"))).available()
    assert not found.ok
    assert "didn't answer" in found.reason


# ----------------------------------------------------------------------------- local


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 3.7.17", "is 3.7.17; the agent needs 3.8 or newer"),
        ("echo broken >&2; exit 3", r"exit code 3, it said: broken"),
        ("true", "it said: nothing"),
    ],
)
def test_an_interpreter_that_will_not_do_is_named(
    tmp_path: Path, script: str, message: str
) -> None:
    python = _program(tmp_path / "python", script)
    with pytest.raises(ConfigError, match=message):
        check_interpreter(str(python))
    assert not LocalRuntime(str(python)).available().ok


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be started: No such file"):
        check_interpreter(str(tmp_path / "python"))


def test_local_runs_on_the_base_interpreter_unless_one_is_named() -> None:
    command = LocalRuntime().command(SPEC)
    prefix = subprocess.run(
        [command[0], "-I", "-c", "import sys; print(sys.prefix == sys.base_prefix)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert prefix.stdout.strip() == "True"
    named = AgentSpec("a", 1, "limits", 1 << 30, 100, python=sys.executable)
    assert LocalRuntime().command(named)[0] == sys.executable
    assert check_interpreter(local.base_interpreter()).count(".") == 2


def test_the_agent_says_hello_and_ends_with_its_stdin() -> None:
    runtime = LocalRuntime()
    spec = AgentSpec("hello", 1, "limits", 1 << 30, 100)
    done = subprocess.run(
        runtime.command(spec), env=runtime.environment(), input=b"", capture_output=True, timeout=60
    )
    assert json.loads(done.stdout.splitlines()[0])["op"] == "hello", done.stderr
    assert done.returncode == 0
    runtime.kill("hello")


# ---------------------------------------------------------------------------- docker


def test_docker_needs_an_image() -> None:
    with pytest.raises(ImageError, match="needs an image"):
        DockerRuntime().command(AgentSpec("a", 1, "limits", 1 << 30, 100))


def _spec(image: Image, **changes: Any) -> AgentSpec:
    values: dict[str, Any] = {
        "name": f"hpc-runner-test-{os.getpid()}-{time.monotonic_ns()}",
        "slots": 1,
        "require_isolation": "limits",
        "memory_bytes": 256 << 20,
        "processes": 64,
        "image": image,
    }
    return AgentSpec(**(values | changes))


def _start(runtime: Runtime, spec: AgentSpec) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        runtime.command(spec),
        env=runtime.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _agent(tmp_path: Path, code: str) -> Path:
    """A stand-in for the agent that runs ``code``."""
    file = tmp_path / "stand, in.py"  # a comma, which the engine's client gives a meaning
    file.write_text(f"import os, signal, sys, time\n{code}\n")
    file.chmod(0o644)
    return file


def _containers(name: str) -> str:
    done = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--filter", f"name=^{name}$"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def _gone(name: str) -> bool:
    deadline = time.monotonic() + 30
    while _containers(name):
        if time.monotonic() > deadline:
            return False
    return True


@pytest.fixture(scope="module")
def probed(
    docker_image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """What kernel_probe.py finds inside, with a client that is told of a proxy and its password."""
    config = tmp_path_factory.mktemp("docker")
    proxies = {"httpProxy": "http://user:secret@proxy:3128", "noProxy": "secret"}
    (config / "config.json").write_text(json.dumps({"proxies": {"default": proxies}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_CONFIG", str(config))
        patch.setenv("ANTHROPIC_API_KEY", "secret")
        patch.setenv("HTTP_PROXY", "http://secret")
        runtime = DockerRuntime(agent=PROBE)
        process = _start(runtime, _spec(docker_image))
        out, err = process.communicate(b"", timeout=120)
        assert process.returncode == 0, err
        yield json.loads(out)


def test_the_agent_can_build_what_it_needs(probed: dict[str, Any]) -> None:
    assert set(probed["namespaces"].values()) == {"None"}, "an error if not"
    assert probed["root"] == "done, / holds old usr work"
    assert probed["pid_one"] == "1"


def test_nothing_of_the_host_enters(probed: dict[str, Any]) -> None:
    assert "secret" not in json.dumps(probed["environment"])
    assert set(probed["environment"]) == {"PATH", "LANG", "HOME", "HOSTNAME"}
    assert probed["hostname"] == "sandbox"
    assert probed["interfaces"] == ["lo"]
    assert probed["resolv"].split("\n")[0] == "nameserver 192.0.2.1"


def test_it_runs_without_privileges(probed: dict[str, Any]) -> None:
    assert (probed["uid"], probed["gid"]) == (65534, 65534)
    assert int(probed["capabilities"], 16) == int(probed["bounding"], 16) == 0
    assert (probed["no_new_privs"], probed["seccomp"]) == ("1", "2")
    assert probed["setuid_programs"] == []
    assert probed["argv"] == ["--slots", "1", "--require", "limits"]


def test_only_tmp_can_be_written(probed: dict[str, Any]) -> None:
    assert probed.pop("agent") == "EROFS"
    assert probed["write"].pop("/tmp") == "written"  # noqa: S108
    assert set(probed["write"].values()) == {"EROFS"}


def test_the_profile_forbids_what_docker_s_own_forbids(probed: dict[str, Any]) -> None:
    for situation in ("forbidden", "forbidden_as_root"):
        assert {n: e for n, e in probed[situation].items() if e != "EPERM"} == {}
    assert set(probed["absent"].values()) == {"ENOSYS"}
    assert probed["personality"] == "EPERM"
    allowed = {name for name, answer in probed["sockets"].items() if answer == "allowed"}
    assert allowed == {"unix", "inet", "inet6", "netlink"}


def test_the_agent_gets_full_isolation_in_it(
    docker_engine: DockerRuntime, docker_image: Image
) -> None:
    spec = _spec(docker_image, require_isolation="filtered", memory_bytes=1 << 30, processes=256)
    process = _start(docker_engine, spec)
    out, err = process.communicate(b"", timeout=120)
    assert process.returncode == 0, err
    hello = json.loads(out.splitlines()[0])
    assert hello["isolation"] == "full", hello
    assert _gone(spec.name)


def test_memory_and_processes_are_limited(docker_image: Image, tmp_path: Path) -> None:
    greedy = _agent(tmp_path, "x = bytearray(600 << 20); print(len(x))")
    process = _start(DockerRuntime(agent=greedy), _spec(docker_image))
    out, _ = process.communicate(b"", timeout=120)
    assert (out, process.returncode) == (b"", 137)

    forks = "try:\n  for n in range(200):\n    if os.fork() == 0: time.sleep(60)\n"
    bomb = _agent(tmp_path, forks + "except OSError as error: print(n, error.errno)")
    process = _start(DockerRuntime(agent=bomb), _spec(docker_image, processes=32))
    out, _ = process.communicate(b"", timeout=120)
    assert out.split() == [b"31", b"11"]


def test_a_stuck_agent_is_killed_and_its_container_gone(
    docker_image: Image, tmp_path: Path
) -> None:
    stuck = _agent(
        tmp_path,
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(600)",
    )
    runtime = DockerRuntime(agent=stuck)
    spec = _spec(docker_image)
    with _start(runtime, spec) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        process.kill()
        started = time.monotonic()
        runtime.kill(spec.name)
        assert _containers(spec.name) == ""
        assert time.monotonic() - started < 20
    runtime.kill(spec.name)


def test_a_container_ends_with_its_client(docker_image: Image, tmp_path: Path) -> None:
    waits = _agent(tmp_path, "print('up', flush=True)\nsys.stdin.read()")
    runtime = DockerRuntime(agent=waits)
    spec = _spec(docker_image)
    with _start(runtime, spec) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        process.kill()
    assert _gone(spec.name)


def test_another_image_under_the_pinned_reference_is_refused(
    docker_engine: DockerRuntime, docker_image: Image, tmp_path: Path
) -> None:
    other = Image(docker_image.name, docker_image.reference, bytes(32), docker_image.archive)
    assert docker_engine.has_image(docker_image)
    missing = Image("py311", "hpc-runner-py311:ffffffffffff", bytes(32), docker_image.archive)
    assert not docker_engine.has_image(missing)
    with pytest.raises(ImageError, match="holds sha256"):
        docker.images.verify(other)


def test_an_engine_that_does_not_remove_a_container_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(docker, "KILL_S", 0.2)
    program = _program(tmp_path / "docker", "echo 'removal is already in progress' >&2; exit 1")
    with pytest.raises(RuntimeFailure, match="'name' can't be removed: removal is already"):
        DockerRuntime(str(program)).kill("name")
