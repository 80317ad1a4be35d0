"""What can be known of the apptainer runtime without an Apptainer: its words and its files.

Where one is on PATH, tests/conformance runs it.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from agents import alive, until
from test_runtimes import SPEC, _program

from hpc_runner.errors import ImageError
from hpc_runner.sandbox.apptainer import ApptainerRuntime
from hpc_runner.sandbox.bootstrap import write_archive
from hpc_runner.sandbox.spec import Image

WITH_VALUE = {"--network", "--no-mount", "--env", "--pwd", "--mount"}
ALONE = {"--containall", "--no-home", "--no-privs", "--net"}
"""Options of `apptainer exec` in 1.2, as its manual has them: those that we use."""


def test_its_words_are_those_of_the_manual() -> None:
    """`apptainer exec [options] IMAGE COMMAND...`: an option that the manual doesn't have, or a
    value too many, would be taken for the image."""
    words = iter(ApptainerRuntime("apptainer", cache=Path("/images")).command(SPEC))
    assert (next(words), next(words)) == ("apptainer", "exec")
    for word in words:
        if not word.startswith("-"):
            break
        assert word in WITH_VALUE | ALONE
        if word in WITH_VALUE:
            assert not next(words).startswith("-")
    assert word == "/images/py311-0000000000000000.sif"
    assert next(words) == "/usr/bin/python3"


def test_its_mounts_are_csv_of_known_fields() -> None:
    spec = replace(SPEC, mounts=(Path('/a, "b"'),))
    command = ApptainerRuntime("apptainer").command(spec)
    mounts = [after for word, after in pairwise(command) if word == "--mount"]
    rows = list(csv.reader(mounts))
    assert len(rows) == 2
    for row in rows:
        fields = dict((*part.split("=", 1), "")[:2] for part in row)
        assert list(fields) == ["type", "source", "destination", "ro"]
        assert fields["type"] == "bind"
    assert 'source=/a, "b"' in rows[1]


def test_proxies_stay_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--cleanenv` lets them through."""
    for name in ("http_proxy", "ALL_PROXY", "APPTAINERENV_KEY", "APPTAINER_BIND", "TERM"):
        monkeypatch.setenv(name, "secret")
    assert "secret" not in ApptainerRuntime().environment().values()


# ---------------------------------------------------------------------- what is there


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("apptainer version 1.3.4-1.el9", "apptainer 1.3.4-1.el9 answers"),
        ("singularity-ce version 4.1.0", "singularity-ce 4.1.0 answers"),
        ("apptainer version 1.1.9", "too old"),
        ("singularity version 3.8.7", "it says of itself: singularity version 3.8.7"),
        ("", "it says of itself: exit code 0"),
    ],
)
def test_the_version_decides(tmp_path: Path, said: str, found: str) -> None:
    program = _program(tmp_path / "apptainer", f"test \"$*\" = --version && echo '{said}'")
    availability = ApptainerRuntime(str(program)).available()
    assert found in availability.reason
    assert availability.ok is ("answers" in found)
    assert availability.ok or availability.mend


def test_singularity_is_taken_where_there_is_no_apptainer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ApptainerRuntime().command(SPEC)[0] == "apptainer"
    _program(tmp_path / "singularity", "true")
    assert ApptainerRuntime().command(SPEC)[0] == "singularity"
    _program(tmp_path / "apptainer", "true")
    assert ApptainerRuntime().command(SPEC)[0] == "apptainer"


# ------------------------------------------------------------------------- image files

BUILD = """
[ "$1 $2" = "build --disable-cache" ] || exit 9
case "$3" in -*) exit 9 ;; esac
case "$4" in docker-archive:/*) ;; *) exit 9 ;; esac
echo built >> {log}
cat "${{4#docker-archive:}}" > "$3"
"""


@pytest.fixture
def image(tmp_path: Path) -> Image:
    rootfs, archive = tmp_path / "rootfs.tar", tmp_path / "archive.tar"
    subprocess.run(["tar", "-cf", rootfs, "-C", tmp_path, "--files-from", "/dev/null"], check=True)
    digest = write_archive(archive, rootfs, "hpc-runner-py311", {"Env": []}, "amd64")
    return Image("py311", f"hpc-runner-py311:{digest[:12]}", bytes.fromhex(digest), archive)


@pytest.fixture
def runtime(tmp_path: Path) -> ApptainerRuntime:
    program = _program(tmp_path / "apptainer", BUILD.format(log=tmp_path / "log"))
    return ApptainerRuntime(str(program), cache=tmp_path / "cache")


def test_an_image_file_is_made_once_and_named_by_the_digest(
    runtime: ApptainerRuntime, image: Image, tmp_path: Path
) -> None:
    said: list[str] = []
    assert not runtime.has_image(image)
    runtime.load(image, said.append)
    runtime.load(image, said.append)
    assert runtime.has_image(image)
    assert (tmp_path / "log").read_text() == "built\n"
    assert len(said) == 1
    [file] = (tmp_path / "cache").glob("*.sif")
    assert file.name == f"py311-{image.digest.hex()[:16]}.sif"
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_an_image_file_that_was_changed_is_refused(
    runtime: ApptainerRuntime, image: Image, tmp_path: Path
) -> None:
    runtime.load(image, print)
    [file] = (tmp_path / "cache").glob("*.sif")
    file.write_bytes(file.read_bytes() + b"!")
    with pytest.raises(ImageError, match=f"was changed; remove it.*rm {re.escape(str(file))}"):
        runtime.load(image, print)


def test_a_build_that_fails_leaves_nothing_and_says_why(tmp_path: Path, image: Image) -> None:
    script = 'echo half > "$3"; echo "FATAL: no space left" >&2; exit 255'
    program = _program(tmp_path / "apptainer", script)
    runtime = ApptainerRuntime(str(program), cache=tmp_path / "cache")
    with pytest.raises(ImageError, match="FATAL: no space left"):
        runtime.load(image, print)
    assert not runtime.has_image(image)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


# -------------------------------------------------------------------------------- end


@pytest.fixture
def in_container() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A process as a container's first one looks from outside: deaf to signals, and of a name."""
    name = "hpc-runner-test-of-apptainer"
    command = ApptainerRuntime("apptainer").command(replace(SPEC, name=name))
    options = command[command.index("-I") : command.index("-X") + 2]
    code = "import signal, time\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\n"
    argv = [sys.executable, *options, "-c", code + "print(flush=True)\ntime.sleep(600)\n"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield name, process
        process.kill()


def test_a_container_is_found_by_its_name_and_ended(
    in_container: tuple[str, subprocess.Popen[bytes]],
) -> None:
    name, process = in_container
    ApptainerRuntime("apptainer").kill(name[:-1])
    assert alive(process.pid)
    ApptainerRuntime("apptainer").kill(name)
    until(lambda: process.poll() == -9)
    ApptainerRuntime("apptainer").kill(name)
