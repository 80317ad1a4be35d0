"""Build an image from Debian packages, without a registry and without a daemon.

``mmdebstrap`` makes the root file system, and this module writes it into a
docker-archive.  The same packages give the same archive, bit by bit.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from hpc_runner.errors import ImageError

VERSION = 2
"""Rises when what is built from the same packages changes."""

EPOCH = 1_700_000_000
"""The time of every file that is newer: 2023-11-14T22:13:20Z."""
CREATED = "2023-11-14T22:13:20Z"

BUILD_S = 1800.0
DEBIAN_PACKAGES = ("mmdebstrap", "debian-archive-keyring")
MIRROR = "HPC_RUNNER_DEBIAN_MIRROR"
"""Environment variable: a mirror's address instead of deb.debian.org."""

_FOR_APT = (
    "PATH", "HOME", "TMPDIR", MIRROR,
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip

_NOT_INSTALLED = ("doc", "man", "locale", "info", "lintian", "bug")

_HOOKS = (
    # usrmerge would bring all of Perl; these two do its work beforehand.
    ("setup", 'for d in bin sbin lib lib64; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done'),
    (
        "setup",
        "printf 'Package: usrmerge\\nPin: release *\\nPin-Priority: -1\\n'"
        ' > "$1/etc/apt/preferences.d/no-usrmerge"',
    ),
    # Never stale, whatever the times of the files, and the same bytes in every build.
    (
        "customize",
        'for d in "$1"/usr/lib/python3*; do if [ -d "$d" ]; then chroot "$1" python3'
        ' -m compileall -q -f --invalidation-mode unchecked-hash "/usr/lib/${d##*/}"; fi; done',
    ),
    ("customize", 'chroot "$1" find / -xdev -type f -perm /6000 -exec chmod a-s {} +'),
    (
        "customize",
        'rm -rf "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/etc/apt/sources.list'
        ' "$1"/etc/apt/preferences.d/no-usrmerge "$1"/var/cache/debconf/*-old "$1"/var/log/*',
    ),
)


def missing() -> str:
    """What of the host's is needed to build and isn't there, as a clause; empty if nothing."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return "" if shutil.which("mmdebstrap", path=path) else "mmdebstrap is not installed"


def build(
    *,
    name: str,
    suite: str,
    packages: Sequence[str],
    hooks: Sequence[str],
    config: dict[str, Any],
    architecture: str,
    archive: Path,
    progress: Callable[[str], None],
) -> None:
    """Write the archive of an image ``hpc-runner-NAME``, by rename.

    ``hooks`` are commands for the shell, with the root file system as ``$1``, when the packages
    are there.  ``config`` is Docker's: Env, Cmd, WorkingDir, Labels.  Takes about half a
    minute and twice the image's size on disk.  The caller sees to it that no other
    build of that name runs.  Raises ``ImageError`` with what
    ``mmdebstrap`` said, and OSError when the cache can't be written.
    """
    started = time.monotonic()
    progress(f"building image {name!r} from packages of Debian {suite}, once (about half a minute)")
    for left in archive.parent.glob(f".{name}.*"):  # by a build that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=archive.parent) as scratch:
        rootfs = Path(scratch) / "rootfs.tar"
        with rootfs.open("wb") as file:
            command = _command(suite, packages, hooks, os.environ.get(MIRROR))
            _run_mmdebstrap(name, command, file, progress)
        layer = Path(scratch) / "layer.tar"
        write_layer(layer, rootfs)
        rootfs.unlink()
        partial = Path(scratch) / "archive.tar"
        digest = write_archive(partial, layer, f"hpc-runner-{name}", config, architecture)
        partial.rename(archive)
    progress(
        f"image {name!r}: {archive.stat().st_size / 1e6:.0f} MB, sha256:{digest[:12]},"
        f" built in {time.monotonic() - started:.0f} s"
    )


def _command(
    suite: str, packages: Sequence[str], hooks: Sequence[str], mirror: str | None
) -> list[str]:
    options = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in _NOT_INSTALLED]
    made = [*_HOOKS[:-1], *(("customize", script) for script in hooks), _HOOKS[-1]]
    options += [f"--{when}-hook={script}" for when, script in made]
    include = ",".join(["usr-is-merged", *packages])
    return [
        "mmdebstrap", "--variant=essential", "--format=tar", "--components=main",
        f"--include={include}", *options, suite, "-", *([mirror] if mirror else []),
    ]  # fmt: skip


def dockerfile(
    *,
    name: str,
    suite: str,
    packages: Sequence[str],
    hooks: Sequence[str],
    environment: Mapping[str, str],
    entry: Sequence[str],
) -> str:
    """What ``containers/NAME/Dockerfile`` says: the same root file system, bit by bit, made by
    the same command in a container of an image from a registry."""
    parts = [shlex.quote(part) for part in _command(suite, packages, hooks, None)]
    command = " \\\n        ".join(parts)
    assigned = " ".join(f"{key}={value}" for key, value in sorted(environment.items()))
    return f"""\
# The image "{name}" for a site that has a registry, where hpc_runner's own builder can't run:
#     docker build -t hpc-runner-{name}:site containers/{name}
#     docker save hpc-runner-{name}:site -o ARCHIVE
# with the ARCHIVE that hpc-runner names when it can't build the image itself.
# Written by hpc_runner.sandbox.bootstrap from recipe.toml; a test compares them.
FROM debian:{suite}-slim AS builder
RUN apt-get update \\
 && apt-get install -y --no-install-recommends {" ".join(DEBIAN_PACKAGES)}
RUN export SOURCE_DATE_EPOCH={EPOCH} LC_ALL=C.UTF-8 \\
 && {command} > /rootfs.tar \\
 && mkdir /rootfs \\
 && tar -C /rootfs -xf /rootfs.tar

FROM scratch
COPY --from=builder /rootfs /
ENV {assigned}
WORKDIR /
CMD {json.dumps(list(entry))}
"""


def _run_mmdebstrap(
    name: str, command: list[str], out: IO[bytes], progress: Callable[[str], None]
) -> None:
    environment = {key: os.environ[key] for key in _FOR_APT if key in os.environ}
    environment["PATH"] = environment.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    environment |= {"SOURCE_DATE_EPOCH": str(EPOCH), "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    late = threading.Event()

    def give_up() -> None:
        late.set()
        _end(process)

    alarm = threading.Timer(BUILD_S, give_up)
    alarm.start()
    said: deque[str] = deque(maxlen=200)
    try:
        for raw in process.stderr:
            line = raw.decode("utf-8", "replace").strip()
            said.append(line)
            if line.startswith("I: ") and line.endswith("..."):
                progress(f"image {name!r}: {line.removeprefix('I: ').removesuffix('...')}")
        process.wait()
    finally:
        alarm.cancel()
        if process.poll() is None:
            _end(process)
        process.stderr.close()
    if process.returncode != 0:
        errors = [line for line in said if line.startswith(("E: ", "Err:", "W: "))] or list(said)
        reason = f"no end after {BUILD_S:.0f} s" if late.is_set() else " | ".join(errors[-4:])
        if "NO_PUBKEY" in reason:
            raise ImageError(
                f"image {name!r} can't be built: the keys here don't know who signed that Debian;"
                " upgrade the package debian-archive-keyring (that of Debian 12.11 knows Debian"
                f" 13's): {reason[:800]}"
            )
        raise ImageError(
            f"image {name!r} can't be built: mmdebstrap failed: {reason[:800]}."
            f" It needs a Debian mirror (set {MIRROR} to yours, or http_proxy), the packages"
            f" {' and '.join(DEBIAN_PACKAGES)}, and root, or else user namespaces and"
            " /etc/subuid (package uidmap); --runtime local needs no image"
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End mmdebstrap and all that it started; it removes its directory when asked politely."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(15)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def write_layer(target: Path, rootfs: Path) -> None:
    """Write a root file system's tar again, the same files in the same order, so that the
    version of the tar that made it doesn't show.  Raises ``ImageError`` when it is none."""
    try:
        with (
            tarfile.open(rootfs, "r:") as made,
            tarfile.open(target, "w:", format=tarfile.PAX_FORMAT) as layer,
        ):
            for item in made:
                item.uname = item.gname = ""
                item.mtime = int(item.mtime)
                item.pax_headers = {
                    key: value
                    for key, value in item.pax_headers.items()
                    if key.startswith("SCHILY.xattr.")
                }
                layer.addfile(item, made.extractfile(item) if item.isreg() else None)
    except tarfile.TarError as error:
        raise ImageError(f"what mmdebstrap made can't be read: {error}") from error


def write_archive(
    target: Path, rootfs: Path, repository: str, config: dict[str, Any], architecture: str
) -> str:
    """Write a docker-archive of one layer; returns the hex digest of its configuration.

    The tag is the digest's first twelve digits.
    """
    with rootfs.open("rb") as file:
        layer = hashlib.file_digest(file, "sha256").hexdigest()
    configuration = {
        "architecture": architecture,
        "os": "linux",
        "created": CREATED,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
        "history": [{"created": CREATED, "created_by": "hpc_runner"}],
    }
    raw = json.dumps(configuration, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(raw).hexdigest()
    manifest = [
        {
            "Config": f"{digest}.json",
            "RepoTags": [f"{repository}:{digest[:12]}"],
            "Layers": [f"{layer}/layer.tar"],
        }
    ]
    with tarfile.open(target, "w:", format=tarfile.PAX_FORMAT) as outer:
        _add(outer, "manifest.json", io.BytesIO(json.dumps(manifest).encode()))
        _add(outer, f"{digest}.json", io.BytesIO(raw))
        with rootfs.open("rb") as file:
            _add(outer, f"{layer}/layer.tar", file)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return digest


def _add(outer: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    item = tarfile.TarInfo(name)
    item.size = content.seek(0, os.SEEK_END)
    item.mtime = EPOCH
    content.seek(0)
    outer.addfile(item, content)
