"""Images: a repository for each user and a centralized one, filled by ``load``."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from sarus_double.config import LOG, Caller, Config, Refused, fail
from sarus_double.grammar import reference


@dataclass
class Image:
    """``image.json``: what is kept of an image beside its root file system."""

    server: str
    repository: str
    tag: str
    digest: str
    id: str
    created: str
    size: int
    rootfs: str
    """Name of the directory.  Another one after each ``load``, since containers may be
    running in the one before."""
    env: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    workdir: str = ""

    @property
    def text(self) -> str:
        suffix = f"@{self.digest}" if self.digest and not self.tag else f":{self.tag}"
        return f"{self.server}/{self.repository}{suffix}"


class Repository:
    """Images of one user, or those of the site."""

    def __init__(self, config: Config, caller: Caller, centralized: bool) -> None:
        if not centralized:
            self.top = Path(config.localRepositoryBaseDir) / caller.name / ".sarus"
        elif config.centralizedRepositoryDir:
            self.top = Path(config.centralizedRepositoryDir)
        else:
            fail("the centralized repository is disabled by the system administrator")

    def list(self) -> list[Image]:
        files = sorted(self.top.glob("images/**/image.json"))
        return [Image(**json.loads(file.read_text(encoding="utf-8"))) for file in files]

    def find(self, text: str) -> tuple[Image, Path]:
        """An image and its root file system.  Raises ``Refused``."""
        server, repository, tag, digest = reference(text)
        place = self._place(server, repository, tag, digest)
        try:
            image = Image(**json.loads((place / "image.json").read_text(encoding="utf-8")))
        except OSError:
            suffix = f"@{digest}" if digest else f":{tag}"
            raise Refused(f"Image {server}/{repository}{suffix} is not available") from None
        return image, place / image.rootfs

    def load(self, archive: Path, text: str, scratch: Path | None) -> None:
        """What was there under that reference is replaced.  Raises ``Refused``."""
        _, repository, tag, digest = reference(text)
        if digest:
            raise Refused(
                "Destination image reference must not contain a digest when loading the image"
                " from a file"
            )
        place = self._place("load", repository, tag, "")
        place.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix="rootfs-", dir=place))
        try:
            new.chmod(0o755)
            image = _unpack(archive, new)
            image.repository, image.tag, image.rootfs = repository, tag, new.name
            written = new.with_suffix(".json")
            written.write_text(json.dumps(asdict(image)), encoding="utf-8")
            written.replace(place / "image.json")
        except BaseException:
            _remove(new)
            raise
        for old in place.glob("rootfs-*"):
            if old != new and old.is_dir():
                remove_unused(old)

    def remove(self, text: str) -> None:
        image, rootfs = self.find(text)
        (rootfs.parent / "image.json").unlink()
        remove_unused(rootfs)
        LOG.info(f"removed image {image.text}")
        print(f"removed image {image.text}")

    def _place(self, server: str, repository: str, tag: str, digest: str) -> Path:
        return self.top / "images" / server / repository / (tag or digest.replace(":", "-"))


def table(images: list[Image], digests: bool) -> str:
    """What ``sarus images`` prints."""
    rows = [["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE", "SERVER"]]
    for image in images:
        path = f"{image.server}/{image.repository}"
        if image.server == "docker.io":
            path = image.repository.removeprefix("library/")
        size = f"{image.size / 1e6:.2f}MB"
        rows.append(
            [path, image.tag or "<none>", image.digest or "<none>", image.id[:12],
             image.created, size, image.server]
        )  # fmt: skip
    widths = [max(10, *(len(row[column]) for row in rows)) for column in range(7)]
    columns = [0, 1, *([2] if digests else []), 3, 4, 5]
    lines = []
    for row in rows:
        cells = [row[column].ljust(12 if column == 3 else widths[column]) for column in columns]
        lines.append("   ".join([*cells, row[6]]) + "\n")
    return "".join(lines)


def remove_unused(rootfs: Path) -> None:
    """Remove a root file system, unless a container runs in it: then it is left to lie."""
    with contextlib.suppress(OSError):
        descriptor = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(rootfs)
        finally:
            os.close(descriptor)


def _remove(rootfs: Path) -> None:
    for directory, _, _ in os.walk(rootfs):
        with contextlib.suppress(OSError):
            Path(directory).chmod(0o700)
    shutil.rmtree(rootfs, ignore_errors=True)


def _unpack(archive: Path, target: Path) -> Image:
    """The layers of a docker-archive, one upon the other, as the caller's own files."""
    try:
        with tarfile.open(archive) as outer:
            try:
                (manifest,) = json.load(_member(outer, "manifest.json"))
            except KeyError:
                fail("docker-archive file does not contain manifest.json")
            raw = _member(outer, manifest["Config"]).read()
            size = 0
            for layer in manifest["Layers"]:
                size += outer.getmember(layer).size
                _layer(_member(outer, layer), target)
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        fail(f"failed to copy docker-archive:{archive} to an OCI image: {error}")
    settings = json.loads(raw).get("config", {})
    return Image(
        server="load",
        repository="",
        tag="",
        digest="",  # of a registry's manifest, which there is none of
        id=hashlib.sha256(b"oci " + raw).hexdigest(),  # the real one's is another digest, too
        created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S"),  # noqa: UP017
        size=size,
        rootfs="",
        env=dict(item.partition("=")[::2] for item in settings.get("Env") or []),
        entrypoint=settings.get("Entrypoint") or [],
        cmd=settings.get("Cmd") or [],
        workdir=settings.get("WorkingDir") or "",
    )


def _member(outer: tarfile.TarFile, name: str):  # type: ignore[no-untyped-def]
    content = outer.extractfile(name)
    if content is None:
        raise KeyError(name)
    return content


def _layer(content, target: Path) -> None:  # type: ignore[no-untyped-def]
    command = ["tar", "-x", "--no-same-owner", "-p", "--exclude=./dev/*", "--exclude=dev/*"]
    unpack = subprocess.Popen([*command, "-C", str(target)], stdin=subprocess.PIPE)
    assert unpack.stdin is not None
    with unpack.stdin as pipe:
        shutil.copyfileobj(content, pipe, 1 << 20)
    if unpack.wait():
        fail("a layer can't be unpacked")
    for directory, _, files in os.walk(target):
        for name in files:
            if name.startswith(".wh."):
                (Path(directory) / name).unlink()
                gone = Path(directory) / name.removeprefix(".wh.")
                if gone.is_dir() and not gone.is_symlink():
                    shutil.rmtree(gone)
                else:
                    gone.unlink(missing_ok=True)
