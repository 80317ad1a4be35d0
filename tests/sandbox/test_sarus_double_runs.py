"""What runs in the double, and how it is ended: as facts about the real Sarus say.

With HPC_RUNNER_SARUS the same is asked of a real one, but for what is the double's alone.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import sarus_host
from agents import alive, until
from sarus_host import SarusHost, as_plain_user, configure, inside, reference, share

ROOT = os.getuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root can start a program as another user")


def test_mounts(any_sarus: SarusHost) -> None:
    place = any_sarus.top / "mounted"
    place.mkdir(exist_ok=True)
    (place / "file").write_text("content")
    script = "cat /new/place/file /single; touch /new/place/x 2>/dev/null || echo read-only"
    found = inside(
        any_sarus, script,
        f"--mount=type=bind,source={place},target=/new/place,readonly",
        f"--mount=type=bind,src={place}/file,destination=/single",
    )  # fmt: skip
    assert found == "contentcontentread-only\n"


def test_an_image_in_use_can_be_replaced(sarus: SarusHost, empty_sarus: SarusHost) -> None:
    assert sarus.image.archive is not None
    load = "load", str(sarus.image.archive), "im"
    assert empty_sarus.run(*load).returncode == 0
    with empty_sarus.start(
        "load/library/im", "sh", "-c", "echo; read x; exec python3 -c 'import bz2'"
    ) as it:
        assert it.stdout is not None and it.stdout.readline()
        assert empty_sarus.run(*load).returncode == 0
        it.communicate(b"\n", timeout=60)
    assert it.returncode == 0


def test_the_image_s_command_and_entry_point(empty_sarus: SarusHost, sarus: SarusHost) -> None:
    assert sarus.run("run", reference(sarus), input="print(5)").stdout == "5\n"
    assert inside(sarus, "echo $0", "--entrypoint", "").strip() == "sh"
    done = sarus.run("run", "--entrypoint", "echo a", reference(sarus), "b")
    assert done.stdout == "a b\n"


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 255", 255), ("kill -9 $$", 137), ("kill $$", 143)]
)
@pytest.mark.parametrize("options", [[], ["--pid=private", "--init"]])
def test_exit_codes(any_sarus: SarusHost, options: list[str], script: str, code: int) -> None:
    done = any_sarus.run("run", *options, reference(any_sarus), "sh", "-c", script)
    assert done.returncode == code


def test_exit_code_1_is_ambiguous(sarus: SarusHost) -> None:
    image = reference(sarus)
    assert sarus.run("run", "no-such-image", "true").returncode == 1
    assert sarus.run("run", image, "no-such-program").returncode == 1
    assert sarus.run("run", image, "false").returncode == 1
    done = sarus.run("run", "--pid=private", "--init", image, "no-such-program")
    assert done.returncode == 127


def test_the_host_s_environment_enters(any_sarus: SarusHost) -> None:
    environment = {"PATH": "/host/bin", "LANG": "host", "API_KEY": "secret", "HOME": "/home/me"}
    found = inside(
        any_sarus, "env; test -e /home/me || echo no home", "-e", "LANG=mine", env=environment
    )
    lines = set(found.splitlines())
    assert {"API_KEY=secret", "HOME=/home/me", "LANG=mine", "no home"} <= lines
    assert "PATH=/usr/local/bin:/usr/bin:/bin" in lines


def test_who_it_runs_as_and_with_which_rights(any_sarus: SarusHost) -> None:
    lines = inside(any_sarus, "cat /proc/self/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if "\t" in line)
    uid = sarus_host.USER if any_sarus.prefix else os.getuid()
    assert status["Uid"].split() == [str(uid)] * 4
    for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
        assert int(status[f"Cap{kind}"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "0")


def test_the_working_directory_is_not_the_caller_s(any_sarus: SarusHost) -> None:
    assert inside(any_sarus, "pwd", cwd="/etc") == "/\n"
    assert inside(any_sarus, "pwd", "--workdir=/usr", cwd="/etc") == "/usr\n"


def test_namespaces(any_sarus: SarusHost) -> None:
    script = (
        "for n in net ipc uts user; do readlink /proc/self/ns/$n; done; readlink /proc/self/ns/pid"
    )
    *shared, private = inside(any_sarus, script).split()
    ours = [str(Path(f"/proc/self/ns/{name}").readlink()) for name in ("net", "ipc", "uts", "user")]
    if ROOT or not any_sarus.double:
        assert shared == ours
    pid = str(Path("/proc/self/ns/pid").readlink())
    assert private != pid
    done = any_sarus.run("run", reference(any_sarus), "readlink", "/proc/self/ns/pid")
    assert done.stdout.strip() == pid


def test_the_root_file_system_is_written_to_and_forgotten(any_sarus: SarusHost) -> None:
    script = "test -e /usr/new && echo remembered; touch /usr/new /new /tmp/new; echo $?"
    script += "; stat -f -c %T /"
    for _ in range(2):
        assert inside(any_sarus, script).split() == ["0", "overlayfs"]


def test_shared_memory_is_the_host_s(any_sarus: SarusHost) -> None:
    with sarus_host.scratch() as top:
        marker = Path("/dev/shm") / top.name  # noqa: S108
        marker.touch()
        try:
            assert inside(any_sarus, f"ls {marker}").strip() == str(marker)
        finally:
            marker.unlink()


def test_stdin_is_byte_exact_and_descriptors_are_closed(any_sarus: SarusHost) -> None:
    content = os.urandom(3_000_000)
    read, write = os.pipe()
    os.set_inheritable(read, True)
    command = [
        *any_sarus.prefix,
        any_sarus.program,
        "run",
        reference(any_sarus),
        "sh",
        "-c",
        "cat; ls /proc/self/fd >&2",
    ]
    done = subprocess.run(
        command, input=content, capture_output=True, timeout=120, pass_fds=[read], check=True
    )
    os.close(read)
    os.close(write)
    assert done.stdout == content
    assert set(done.stderr.split()) <= {b"0", b"1", b"2", b"3"}  # the last is the listing's own


def test_it_drains_what_the_program_does_not_read(sarus: SarusHost) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as ours, os.fdopen(write, "wb") as theirs:
        theirs.write(b"x" * 1000)
        theirs.close()
        command = [sarus.program, "run", reference(sarus), "sleep", "0.5"]
        subprocess.run(command, stdin=ours, timeout=60, check=True)
        assert ours.read() == b""


def test_too_little_address_space(sarus: SarusHost) -> None:
    limited = ["/bin/sh", "-c", 'ulimit -v 1000000; exec "$@"', "-"]
    done = replace(sarus, prefix=limited).run("run", reference(sarus), "true")
    assert done.returncode != 0


def test_a_fresh_proc_can_not_be_mounted_by_a_user(any_sarus: SarusHost) -> None:
    script = "unshare -Urpmf --mount-proc true 2>&1; unshare -Urn true && echo network"
    if ROOT and not any_sarus.prefix:
        pytest.skip("root without capabilities can make no user namespace that has root in it")
    said, last = inside(any_sarus, script).splitlines()
    assert "not permitted" in said
    assert last == "network"


# ------------------------------------------------------------------- names, ps and kill


def rows(host: SarusHost) -> dict[str, list[str]]:
    done = host.run("ps")
    assert done.returncode == 0, done.stderr
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    return {line.split()[0]: line.split() for line in lines}


def test_ps_names_the_container_s_own_process(any_sarus: SarusHost) -> None:
    name = f"listed-{os.getpid()}"
    with any_sarus.start("--name", name, reference(any_sarus), "sh", "-c", "echo; cat") as it:
        assert it.stdout is not None and it.stdout.readline()
        row = rows(any_sarus)[name]
        assert row[2] == "running"
        uid = sarus_host.USER if any_sarus.prefix else os.getuid()
        assert Path(f"/proc/{row[1]}").stat().st_uid == uid
        again = any_sarus.run("run", "--name", name, reference(any_sarus), "true")
        assert again.returncode == 1 and "exists" in again.stderr
        it.communicate(timeout=60)
    assert it.returncode == 0
    assert name not in rows(any_sarus)


def test_kill_sends_hangup_and_nothing_else(any_sarus: SarusHost) -> None:
    name = f"killed-{os.getpid()}"
    with any_sarus.start("--name", name, reference(any_sarus), "sh", "-c", "echo; sleep 100") as it:
        assert it.stdout is not None and it.stdout.readline()
        assert any_sarus.run("kill", name).returncode == 0
        assert it.wait(30) == 128 + signal.SIGHUP
    trap = "trap 'echo heard' HUP; echo; while :; do sleep 0.1; done"
    with any_sarus.start("--name", name, reference(any_sarus), "sh", "-c", trap) as it:
        assert it.stdout is not None and it.stdout.readline()
        assert any_sarus.run("kill", name).returncode == 0
        assert it.stdout.readline() == b"heard\n"
        assert it.poll() is None
        pid = rows(any_sarus)[name][1]
        ended = subprocess.run([*any_sarus.prefix, "/bin/sh", "-c", f"kill -9 {pid}"], check=False)
        assert ended.returncode == 0  # the caller's own process
        assert it.wait(30) == 137


def test_killing_what_is_not_there(any_sarus: SarusHost) -> None:
    done = any_sarus.run("kill", "nobody")
    assert done.returncode == 1 and "container does not exist" in done.stderr


def test_a_container_that_is_being_made_does_not_exist_yet(
    sarus: SarusHost, empty_sarus: SarusHost
) -> None:
    share(sarus, empty_sarus)
    configure(empty_sarus, startDelay=1.0)
    with empty_sarus.start("--name", "slow", reference(sarus), "sh", "-c", "echo; cat") as it:
        done = empty_sarus.run("kill", "slow")
        assert done.returncode == 1 and "container does not exist" in done.stderr
        assert it.stdout is not None and it.stdout.readline()
        until(lambda: empty_sarus.run("kill", "slow").returncode == 0)
        assert it.wait(30) == 129


@pytest.mark.parametrize("name", ["", "a/b", "a b"])
def test_names_of_containers_that_are_refused(sarus: SarusHost, name: str) -> None:
    done = sarus.run("run", "--name", name, reference(sarus), "true")
    assert done.returncode == (0 if name == "" else 1)  # an empty one is as none


@as_root
def test_the_user_can_not_signal_it(sarus_user: SarusHost) -> None:
    """As with a setuid program; and ``timeout`` leaves the container running."""
    name = f"untouchable-{os.getpid()}"
    script = (
        "import subprocess, sys\n"
        "it = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "it.stdout.readline()\n"
        "try: it.kill()\n"
        "except PermissionError: print('PermissionError')\n"
        "it.stdin.close(); it.wait()\n"
    )
    options = ["run", "--pid=private", "--init", "--name", name]
    command = [sarus_user.program, *options, reference(sarus_user), "sh", "-c", "echo; cat"]
    done = subprocess.run(
        [*sarus_user.prefix, "/usr/bin/python3", "-I", "-c", script, *command],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "PermissionError\n", done.stderr


@as_root
def test_a_plain_user_can_signal_it_and_has_another_user_namespace(sarus_user: SarusHost) -> None:
    """What the double can't do for a user who has no way to become root."""
    if not sarus_user.double:
        pytest.skip("of the double")
    plain = replace(sarus_user, prefix=as_plain_user())
    assert inside(plain, "id -u") == f"{sarus_host.USER}\n"
    assert inside(plain, "readlink /proc/self/ns/user") != inside(
        sarus_user, "readlink /proc/self/ns/user"
    )


def test_killed_by_force_it_hangs_up_its_container(sarus: SarusHost) -> None:
    """Only root can: the container gets SIGHUP from its parent's death."""
    name = f"orphan-{os.getpid()}"
    with sarus.start("--name", name, reference(sarus), "sh", "-c", "echo; cat") as it:
        assert it.stdout is not None and it.stdout.readline()
        pid = int(rows(sarus)[name][1])
        it.kill()
        until(lambda: not alive(pid))


def test_signals_to_it_reach_the_program(sarus: SarusHost) -> None:
    trap = "trap 'echo heard; exit 5' TERM; echo; while :; do sleep 0.1; done"
    with sarus.start(reference(sarus), "sh", "-c", trap) as it:
        assert it.stdout is not None and it.stdout.readline()
        it.terminate()
        assert it.stdout.readline() == b"heard\n"
        assert it.wait(30) == 5


def test_private_without_init_ignores_sigterm(sarus: SarusHost) -> None:
    command = [sarus.program, "run", "--pid=private", reference(sarus), "sh", "-c", "echo; read x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as it:
        assert it.stdout is not None and it.stdout.readline()
        it.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            it.wait(1)
        it.communicate(b"\n", timeout=60)
    assert it.returncode == 0


@as_root
def test_what_dies_with_its_runc_leaves_a_stale_entry(sarus: SarusHost) -> None:
    if not sarus.double:
        pytest.skip("of the double")
    name = f"stale-{os.getpid()}"
    with sarus.start("--name", name, reference(sarus), "sh", "-c", "echo; cat") as it:
        assert it.stdout is not None and it.stdout.readline()
        pid = int(rows(sarus)[name][1])
        parent = re.search(r"PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        assert parent is not None
        os.kill(int(parent[1]), signal.SIGKILL)
        assert it.wait(30) == 1
        until(lambda: not alive(pid))  # its stdin has ended
    row = rows(sarus)[name]
    assert row[1:3] == ["0", "stopped"]
    assert sarus.run("kill", name).returncode == 1


def test_one_line_there_and_back_takes_less_than_ten_milliseconds(sarus: SarusHost) -> None:
    code = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    with sarus.start(reference(sarus), "python3", "-c", code) as it:
        assert it.stdin is not None and it.stdout is not None
        times = []
        for _ in range(100):
            began = time.monotonic()
            it.stdin.write(b"ping\n")
            it.stdin.flush()
            assert it.stdout.readline() == b"ping\n"
            times.append(time.monotonic() - began)
        it.communicate(timeout=60)
    assert sorted(times)[50] < 0.01
    print(f"median {sorted(times)[50] * 1e3:.3f} ms", file=sys.stderr)
