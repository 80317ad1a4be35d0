"""Wheels that lie beside servers, made from what is installed: no build tool and no network.

That of hpc_runner is whole, but for tools that need no packages it requires only what serving
needs, and says so in its version (``0.1.0+serving``): a server then takes thirty megabytes
instead of three hundred.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import hpc_runner
from hpc_runner.errors import RuntimeFailure, StorageError
from hpc_runner.results.files import atomic_file
from hpc_runner.sandbox.images import containers_dir

__all__ = ["own_wheel", "wheels_of_dependencies"]

_SERVING = ("pydantic", "mcp")
"""What hpc_runner.export.mcp.server loads."""
_PURE = "Wheel-Version: 1.0\nGenerator: hpc_runner\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_WHEN = (2026, 1, 1, 0, 0, 0)


def own_wheel(directory: Path, *, serving: bool = True) -> Path:
    """Write the wheel of this very hpc_runner into ``directory``; the same content gives the
    same bytes.  Raises ``StorageError``, ``RuntimeFailure`` when hpc_runner isn't installed.

    ``serving``: it requires what serving needs, and no more.
    """
    version = hpc_runner.__version__ + ("+serving" if serving else "")
    info = f"hpc_runner-{version}.dist-info"
    content = dict(_package())
    content[f"{info}/METADATA"] = _metadata(version, serving).encode()
    content[f"{info}/WHEEL"] = _PURE.encode()
    return _write(directory / f"hpc_runner-{version}-py3-none-any.whl", info, content)


def wheels_of_dependencies(directory: Path, *, serving: bool = True) -> dict[str, Path]:
    """Write wheels of all that a server needs beside hpc_runner, as they are installed here: for
    this Python and this platform.  Name → wheel.  Raises as ``own_wheel``, also for what is
    installed from no wheel."""
    made: dict[str, Path] = {}
    wanted = list(_SERVING)
    if not serving:
        wanted += _required(distribution("hpc-runner"))
    while wanted:
        name = wanted.pop()
        if name in made:
            continue
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # of another platform or Python, or an extra
        made[name] = _repacked(found, directory)
        wanted += _required(found)
    return made


def _required(found: Distribution) -> Iterator[str]:
    for line in found.requires or ():
        told = re.match(r"([\w.-]+)\s*(\[[^]]*\])?", line)
        assert told is not None, line  # a name comes first
        name, extras = told.groups()
        if "extra ==" in line.partition(";")[2].replace("'", '"'):
            continue
        yield _normal(name)
        for extra in re.findall(r"[\w-]+", extras or ""):
            yield from _of_extra(name, extra)


def _of_extra(name: str, extra: str) -> Iterator[str]:
    try:
        lines = distribution(name).requires or ()
    except PackageNotFoundError:
        return
    for line in lines:
        if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", line):
            yield _normal(re.split(r"[^\w.-]", line, maxsplit=1)[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _metadata(version: str, serving: bool) -> str:
    try:
        lines = distribution("hpc-runner").requires or ()
    except PackageNotFoundError as error:
        raise RuntimeFailure("hpc_runner runs from a directory that isn't installed") from error
    first: dict[str, str] = {}
    for line in lines:
        name = _normal(re.split(r"[^\w.-]", line, maxsplit=1)[0])
        if name in _SERVING or (not serving and "extra ==" not in line):
            first.setdefault(name, line)
    required = list(first.values())
    return "".join(
        [
            f"Metadata-Version: 2.1\nName: hpc-runner\nVersion: {version}\n",
            "Requires-Python: >=3.11\nProvides-Extra: mcp\n",
            *(f"Requires-Dist: {line}\n" for line in required),
        ]
    )


def _package() -> Iterator[tuple[str, bytes]]:
    package = Path(hpc_runner.__file__).parent
    for top, prefix in ((package, "hpc_runner"), (containers_dir(), "hpc_runner/containers_data")):
        for path in sorted(top.rglob("*")):
            name = path.relative_to(top)
            hidden = "__pycache__" in name.parts or path.suffix == ".pyc"
            if path.is_file() and not hidden and "containers_data" not in name.parts:
                yield f"{prefix}/{name.as_posix()}", path.read_bytes()


def _repacked(found: Distribution, directory: Path) -> Path:
    """The wheel that a distribution was installed from, but for what the installer added."""
    name, version = found.metadata["Name"], found.version
    about = found.read_text("WHEEL")
    if about is None or found.files is None:
        raise RuntimeFailure(f"{name} was not installed from a wheel, so none can be made of it")
    content: dict[str, bytes] = {}
    info = ""
    for file in found.files:
        path = Path(str(file.locate()))
        top = file.parts[0]
        if top.endswith(".dist-info"):
            info = top
        outside = ".." in file.parts or file.suffix == ".pyc"
        added = file.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
        if not (outside or added) and path.is_file():
            content[file.as_posix()] = path.read_bytes()
    tags = re.findall(r"^Tag: (\S+)$", about, flags=re.MULTILINE)
    parts = [
        sorted(set(column)) for column in zip(*(tag.split("-", 2) for tag in tags), strict=True)
    ]
    tag = "-".join(".".join(column) for column in parts)
    plain = re.sub(r"[-_.]+", "_", name)
    return _write(directory / f"{plain}-{version}-{tag}.whl", info, content)


def _write(path: Path, info: str, content: Mapping[str, bytes]) -> Path:
    record = [f"{name},{_digest(data)},{len(data)}\n" for name, data in content.items()]
    whole = {**content, f"{info}/RECORD": "".join([*record, f"{info}/RECORD,,\n"]).encode()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path.parent}: can't be made: {error.strerror}") from error
    with atomic_file(path, durable=False) as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in whole.items():
            entry = zipfile.ZipInfo(name, _WHEN)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, 1)
    return path


def _digest(data: bytes) -> str:
    found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={found}"
