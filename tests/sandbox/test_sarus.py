"""The sarus runtime: what it asks of Sarus, and that it gets rid of what it has started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agents import alive, until
from sarus_host import SarusHost, configure, reference, share

from hpc_runner.errors import ConfigError, ImageError, RuntimeFailure
from hpc_runner.sandbox import calls
from hpc_runner.sandbox import sarus as module
from hpc_runner.sandbox.client import Agent
from hpc_runner.sandbox.contents import difference, of_archive
from hpc_runner.sandbox.sarus import SarusRuntime
from hpc_runner.sandbox.selfcheck import check_agent
from hpc_runner.sandbox.spec import AgentSpec, Image

HELLO = (
    '{"op": "hello", "agent": "1", "protocol": 1, "python": "3", "kernel": "k", "host": "h",'
    ' "slots": 1, "isolation": "full", "mechanisms": [], "missing": {}}'
)
STUCK = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\nprint(HELLO, flush=True)\ntime.sleep(600)"


def spec(host: SarusHost, **changes: Any) -> AgentSpec:
    values: dict[str, Any] = {
        "name": f"hpc-runner-test-{os.getpid()}-{time.monotonic_ns()}",
        "slots": 1,
        "require_isolation": "limits",
        "memory_bytes": 1 << 30,
        "processes": 256,
        "image": host.image,
    }
    return AgentSpec(**(values | changes))


def stand_in(host: SarusHost, code: str) -> Path:
    """A program in the agent's place."""
    file = host.top / f"agent-{time.monotonic_ns()}.py"
    file.write_text(f"import json, os, signal, sys, time\nHELLO = {HELLO!r}\n{code}\n")
    return file


def started(runtime: SarusRuntime, wanted: AgentSpec, **options: Any) -> Agent:
    kill = lambda: runtime.kill(wanted.name)  # noqa: E731
    return Agent(runtime.command(wanted), runtime.environment(), kill=kill, **options)


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(0o755)
    return str(path)


def listed(host: SarusHost) -> str:
    return host.run("ps").stdout


# ------------------------------------------------------------------------- whether it works


def test_it_works_where_sarus_answers(sarus: SarusHost) -> None:
    found = sarus.runtime().available()
    assert found.ok and found.reason.startswith("Sarus 1.")


def test_without_a_sarus(tmp_path: Path) -> None:
    found = SarusRuntime(str(tmp_path / "sarus")).available()
    assert not found.ok
    assert "can't be started: No such file" in found.reason
    assert "HPC_RUNNER_SARUS" in found.mend


def test_the_program_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPC_RUNNER_SARUS", "/site/bin/sarus")
    monkeypatch.setenv("HPC_RUNNER_SARUS_OPTIONS", "--centralized-repository --annotation 'a b=c'")
    image = Image("py311", "hpc-runner-py311:x", bytes(32))
    command = SarusRuntime().command(AgentSpec("a", 1, "limits", 1 << 30, 100, image=image))
    assert command[:5] == [
        "/site/bin/sarus", "run", "--centralized-repository", "--annotation", "a b=c",
    ]  # fmt: skip


def test_a_sarus_that_refuses_its_user_says_why(tmp_path: Path) -> None:
    script = 'case $1 in --version) echo 1.7.0;; *) echo "setup failed" >&2; exit 1; esac'
    found = SarusRuntime(program(tmp_path / "sarus", script)).available()
    assert not found.ok and found.reason == "setup failed"


def test_a_sarus_that_hangs_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "CALL_S", 0.3)
    found = SarusRuntime(program(tmp_path / "sarus", "exec sleep 60")).available()
    assert not found.ok and "didn't answer" in found.reason


def test_too_little_address_space_is_named(sarus: SarusHost) -> None:
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
        "from hpc_runner.sandbox.sarus import SarusRuntime\n"
        "print(SarusRuntime(sys.argv[1]).available())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, sarus.program], capture_output=True, text=True, check=True
    )
    assert "ok=False" in done.stdout and "ulimit -v unlimited" in done.stdout


@pytest.mark.parametrize("name", ["a,b", "a=b"])
def test_paths_that_sarus_can_not_mount_are_the_user_s_mistake(
    sarus: SarusHost, tmp_path: Path, name: str
) -> None:
    place = tmp_path / name
    with pytest.raises(ConfigError, match=r"can't mount.*use another directory"):
        sarus.runtime().command(spec(sarus, mounts=(place,)))
    found = sarus.runtime(agent=place / "agent.py").available()
    assert not found.ok and "can't mount" in found.reason


def test_an_image_is_needed() -> None:
    with pytest.raises(ImageError, match="needs an image"):
        SarusRuntime().command(AgentSpec("a", 1, "limits", 1 << 30, 100))


# ------------------------------------------------------------------------------------ images


def test_the_agent_starts_in_the_image(sarus: SarusHost) -> None:
    assert sarus.runtime().has_image(sarus.image)
    hello = check_agent(sarus.runtime(), sarus.image)
    assert hello.python.startswith("3.11.")


def test_an_image_is_loaded_once_by_whoever_needs_it_first(
    sarus: SarusHost, empty_sarus: SarusHost
) -> None:
    """Ranks of one node, without the archive's place being told to them."""
    pinned = replace(sarus.image, archive=None)
    said: list[str] = []
    runtimes = [empty_sarus.runtime() for _ in range(3)]
    assert not runtimes[0].has_image(pinned)
    threads = [threading.Thread(target=r.load, args=(pinned, said.append)) for r in runtimes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 1 and said[0].startswith("loading image")
    assert runtimes[0].has_image(pinned)


def test_without_the_archive_it_says_what_to_copy(empty_sarus: SarusHost) -> None:
    other = Image("py311", "hpc-runner-py311:0", bytes(32))
    with pytest.raises(ImageError, match=r"not loaded on this machine.*copy it there"):
        empty_sarus.runtime().load(other, print)


def test_another_content_under_the_image_s_name_is_found_out(
    sarus: SarusHost, empty_sarus: SarusHost
) -> None:
    """Sarus overwrites an image without a word and keeps no digest of it."""
    share(sarus, empty_sarus)
    runtime = empty_sarus.runtime()
    target = reference(sarus)
    [python] = (empty_sarus.top / "repositories").glob("**/rootfs-*/usr/lib/python3.11/this.py")
    python.unlink()  # it may be a link
    python.write_text("# another one\n")
    with pytest.raises(ImageError, match=f"this.py has another content; remove it.*rmi {target}"):
        runtime.ensure_image("py311", print)


def test_an_archive_that_can_not_be_loaded(tmp_path: Path, sarus: SarusHost) -> None:
    script = 'case $1 in images) echo;; *) echo "no space left on /scratch" >&2; exit 1; esac'
    runtime = SarusRuntime(program(tmp_path / "sarus", script))
    with pytest.raises(ImageError, match="can't be loaded: no space left on /scratch"):
        runtime.load(sarus.image, print)


def test_a_pulled_image_is_known_by_its_digest(
    sarus: SarusHost, empty_sarus: SarusHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = "sha256:" + 64 * "a"
    name = f"reg.example/team/py@{digest}"
    runtime = empty_sarus.runtime(pulled={"py311": name})
    with pytest.raises(ImageError, match=f"pull it on a compute node: .*sarus pull {name}"):
        runtime.ensure_image("py311", print)
    share(sarus, empty_sarus)
    [file] = (empty_sarus.top / "repositories").glob("**/image.json")
    place = file.parents[4] / "reg.example" / "team" / "py" / digest.replace(":", "-")
    place.parent.mkdir(parents=True)
    file.parent.rename(place)
    values = json.loads((place / "image.json").read_text())
    values.update(server="reg.example", repository="team/py", tag="", digest=digest)
    (place / "image.json").write_text(json.dumps(values))
    image = runtime.ensure_image("py311", print)
    assert image is not None
    assert (image.name, image.reference, image.digest.hex()) == ("py311", name, 64 * "a")
    assert check_agent(runtime, image).python.startswith("3.11.")
    monkeypatch.setenv("HPC_RUNNER_SARUS_PULLED", f"py311={name}")
    assert empty_sarus.runtime().ensure_image("py311", print) == image


@pytest.mark.parametrize("text", ["py311", "py311=reg.example/py:latest", "py311=x@sha256:12"])
def test_a_pulled_image_without_a_digest_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("HPC_RUNNER_SARUS_PULLED", text)
    with pytest.raises(ConfigError, match="is no NAME=REFERENCE with a digest"):
        SarusRuntime()


def test_the_centralized_repository_is_asked_when_it_is_used(
    empty_sarus: SarusHost, sarus: SarusHost
) -> None:
    configure(empty_sarus, centralizedRepositoryDir=str(empty_sarus.top / "central"))
    runtime = empty_sarus.runtime(options=["--centralized-repository"])
    assert runtime.ensure_image("py311", print) == sarus.image
    assert not empty_sarus.runtime().has_image(sarus.image)
    assert check_agent(runtime, sarus.image).python.startswith("3.11.")


def test_contents_are_compared_file_by_file(sarus: SarusHost) -> None:
    assert sarus.image.archive is not None
    expected = of_archive(sarus.image.archive)
    assert expected["/usr/bin/python3"] == "link python3.11"
    assert difference(expected, json.dumps(expected)) == ""
    changes = {"/usr/bin/python3": "link python2"}
    assert difference(expected, json.dumps(expected | changes)).endswith("has another content")
    more = json.dumps(expected | {"/usr/local/bin/new": "x"})
    assert difference(expected, more) == "/usr/local/bin/new is not in the archive"
    less = {path: what for path, what in expected.items() if path != "/usr/bin/env"}
    assert difference(expected, json.dumps(less)) == "/usr/bin/env is missing"
    with pytest.raises(ImageError, match="answers 'Killed'"):
        difference(expected, "Killed")


# ------------------------------------------------------------------------------------- agents


def test_nothing_of_the_host_s_environment_enters(
    any_sarus: SarusHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/secret")
    monkeypatch.setenv("SLURM_JOB_ID", "secret")
    tell = "print(json.dumps(dict(os.environ)))"
    runtime = any_sarus.runtime(agent=stand_in(any_sarus, tell))
    done = subprocess.run(
        [*any_sarus.prefix, *runtime.command(spec(any_sarus))],
        env=runtime.environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
        check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert set(found) <= {"PATH", "LANG", "TINI_SUBREAPER", "LC_CTYPE"}
    assert found["PATH"] == "/usr/local/bin:/usr/bin:/bin"


def test_candidates_read_what_is_mounted(sarus: SarusHost) -> None:
    place = sarus.top / "wheels"
    place.mkdir()
    (place / "module.py").write_text("x = 5")
    look = "place = sys.argv[-1]; print(os.listdir(place), os.access(place, os.W_OK))"
    runtime = sarus.runtime(agent=stand_in(sarus, look))
    done = subprocess.run(
        runtime.command(spec(sarus, mounts=(place,))), capture_output=True, text=True, check=True
    )
    assert done.stdout == "['module.py'] False\n"


def test_an_agent_that_does_not_start_is_told_with_what_was_said(sarus: SarusHost) -> None:
    """Exit code 1 is Sarus's and the program's: which of the two is in what they said."""
    missing = Image("none", "none:none", bytes(32))
    with pytest.raises(
        RuntimeFailure, match=r"sarus or what it was to start.*status 1.*Image"
    ) as e:
        started(sarus.runtime(), spec(sarus, image=missing))
    assert "is not available" in str(e.value)
    broken = sarus.runtime(agent=stand_in(sarus, "sys.exit('the disk is full')"))
    with pytest.raises(RuntimeFailure, match=r"status 1.*the disk is full"):
        started(broken, spec(sarus))


def test_an_agent_ends_with_its_stdin(sarus: SarusHost) -> None:
    wanted = spec(sarus)
    agent = started(sarus.runtime(), wanted)
    assert wanted.name in listed(sarus)
    agent.close()
    assert agent._process.returncode == 0
    assert wanted.name not in listed(sarus)
    sarus.runtime().kill(wanted.name)


def test_a_stuck_agent_is_gone_in_two_seconds(sarus: SarusHost) -> None:
    wanted = spec(sarus)
    runtime = sarus.runtime(agent=stand_in(sarus, STUCK))
    agent = started(runtime, wanted)
    pid = runtime._pid(wanted.name)
    assert pid is not None and alive(pid)
    began = time.monotonic()
    agent.abort()
    assert time.monotonic() - began < 5  # 1.2 s on an idle machine
    assert not alive(pid)
    assert wanted.name not in listed(sarus)


def test_a_container_that_is_still_being_made_is_ended(
    empty_sarus: SarusHost, sarus: SarusHost
) -> None:
    """``sarus kill`` says that it doesn't exist; it is asked for until it does or never will."""
    share(sarus, empty_sarus)
    configure(empty_sarus, startDelay=1.0)
    wanted = spec(sarus)
    runtime = empty_sarus.runtime(agent=stand_in(sarus, STUCK))
    command = ["/bin/sh", "-c", 'trap "" TERM; exec "$@"', "-", *runtime.command(wanted)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        until(lambda: module._being_started(wanted.name))
        runtime.kill(wanted.name)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)
    assert wanted.name not in listed(empty_sarus)


def test_what_can_not_be_ended_is_reported_in_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "KILL_S", 0.2)
    monkeypatch.setattr(module, "HANGUP_S", 0.01)
    monkeypatch.setattr(module, "KILLED_S", 0.01)
    with subprocess.Popen(["sleep", "60"]) as other:
        script = f'[ "$1" = ps ] && echo "ID PID STATUS" && echo "name {other.pid} running"; exit 0'
        monkeypatch.setattr(module.os, "kill", lambda pid, number: None)
        runtime = SarusRuntime(program(tmp_path / "sarus", script))
        with pytest.raises(RuntimeFailure, match="'name' can't be ended"):
            runtime.kill("name")
        monkeypatch.undo()
        other.kill()


def test_a_container_of_somebody_else_is_not_killed_by_its_number(tmp_path: Path) -> None:
    """The number in ``sarus ps`` may be given anew: unless it is listed still after a first
    attempt, nobody is signalled."""
    with subprocess.Popen(["sleep", "60"]) as other:
        state = tmp_path / "asked"
        script = (
            f'case $1 in ps) [ -e {state} ] || echo "name {other.pid} running"; touch {state};;\n'
            '*) echo "container does not exist" >&2; exit 1; esac'
        )
        SarusRuntime(program(tmp_path / "sarus", script)).kill("name")
        assert other.poll() is None
        other.kill()


def test_a_container_is_ended_where_sarus_kill_does_not_work(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        script = (
            f'case $1 in ps) if kill -0 {other.pid}; then echo "name {other.pid} running"; fi;;\n'
            '*) echo "no such command" >&2; exit 1; esac'
        )
        reaper = threading.Thread(target=other.wait)
        reaper.start()
        SarusRuntime(program(tmp_path / "sarus", script)).kill("name")
        reaper.join()
    assert other.returncode == -9


def test_a_program_that_can_not_be_killed_blocks_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(calls, "_KILLED_S", 0.1)

    def refused(self: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "kill", refused)
        began = time.monotonic()
        with pytest.raises(RuntimeFailure, match="didn't answer"):
            calls.call([program(tmp_path / "sarus", "exec sleep 60"), "ps"], {}, 0.1)
        assert time.monotonic() - began < 5
    left = calls._abandoned.pop()
    left.kill()
    left.wait()


def test_an_ordinary_user_s_agent_is_ended_though_sarus_can_not_be_signalled(
    sarus_user: SarusHost, user_python: list[str]
) -> None:
    code = (
        "import sys, time\n"
        "from test_sarus import *\n"
        "image = Image(sys.argv[3], sys.argv[4], bytes.fromhex(sys.argv[5]))\n"
        "runtime = SarusRuntime(sys.argv[1], agent=Path(sys.argv[2]))\n"
        "wanted = AgentSpec('user-' + str(os.getpid()), 1, 'limits', 1 << 30, 100, image=image)\n"
        "agent = started(runtime, wanted)\n"
        "try: agent._process.kill()\n"
        "except PermissionError: print('not allowed')\n"
        "began = time.monotonic()\n"
        "agent.abort()\n"
        "took_s = time.monotonic() - began\n"
        "print(took_s < 5, agent._process.returncode, runtime._pid(wanted.name))\n"
    )
    image = sarus_user.image
    arguments = [str(stand_in(sarus_user, STUCK)), image.name, image.reference, image.digest.hex()]
    done = subprocess.run(
        [*user_python, "-c", code, sarus_user.program, *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["not allowed", "True 137 None"], done.stderr
