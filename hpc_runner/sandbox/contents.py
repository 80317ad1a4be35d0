"""Whether what runs under an image's name is what its archive holds, file by file.

For runtimes that forget the digest of what they have loaded.  Compared is /usr, where
everything lies that an image of ours runs: regular files by SHA-256, and links by where
they lead.  Not owners, rights and times, which a runtime may change.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from hpc_runner.errors import ImageError

__all__ = ["INSIDE", "difference", "of_archive"]

INSIDE = """
import hashlib, json, os
found = {}
for top, directories, files in os.walk("/usr"):
    for name in directories + files:
        path = os.path.join(top, name)
        try:
            if os.path.islink(path):
                found[path] = "link " + os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    found[path] = hashlib.sha256(file.read()).hexdigest()
        except OSError as error:
            found[path] = "unreadable: %s" % error.strerror
print(json.dumps(found))
"""
"""A program for the Python of the image.  It answers mistakes, not an image that is made to
deceive: that one would lie."""


def of_archive(archive: Path) -> dict[str, str]:
    """Path → SHA-256, or "link " and the target, of what a docker-archive has in /usr.

    Raises ``ImageError`` when it can't be read.
    """
    found: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r:") as outer:
            (manifest,) = json.loads(_read(outer, outer.getmember("manifest.json")))
            for layer in manifest["Layers"]:
                content = outer.extractfile(layer)
                with tarfile.open(fileobj=content, mode="r:") as inner:
                    _add_layer(found, inner)
    except (tarfile.TarError, OSError, KeyError, ValueError) as error:
        raise ImageError(f"{archive}: not a docker-archive of one image ({error})") from error
    return found


def difference(expected: dict[str, str], text: str) -> str:
    """How what ``INSIDE`` has printed differs, as a clause; empty if it doesn't.

    Raises ``ImageError`` when it is no answer of ``INSIDE``.
    """
    try:
        found = json.loads(text)
        assert isinstance(found, dict)
    except (ValueError, AssertionError):
        raise ImageError(f"its Python answers {text[:100]!r}") from None
    for path in sorted(expected.keys() | found.keys()):
        if path not in found:
            return f"{path} is missing"
        if path not in expected:
            return f"{path} is not in the archive"
        if found[path] != expected[path]:
            why = found[path] if found[path].startswith("unreadable") else "has another content"
            return f"{path} {why}"
    return ""


def _add_layer(found: dict[str, str], layer: tarfile.TarFile) -> None:
    for path, member in _in_usr(layer):
        name = path.rpartition("/")[2]
        if name.startswith(".wh."):
            gone = path.replace(name, name.removeprefix(".wh."))
            for known in [item for item in found if item == gone or item.startswith(f"{gone}/")]:
                del found[known]
        elif member.issym():
            found[path] = f"link {member.linkname}"
        elif member.islnk():
            found[path] = found[f"/{member.linkname.removeprefix('./').lstrip('/')}"]
        elif member.isreg():
            found[path] = hashlib.sha256(_read(layer, member)).hexdigest()


def _in_usr(layer: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo]]:
    for member in layer:
        path = f"/{member.name.removeprefix('./').strip('/')}"
        if path.startswith("/usr/"):
            yield path, member


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(member)
    if content is None:
        raise KeyError(f"{member.name} is not a file")
    return content.read()
