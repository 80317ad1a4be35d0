"""hpc_runner itself as a wheel, made from what is installed: no build tool and no network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import hpc_runner
from hpc_runner.errors import RuntimeFailure, StorageError
from hpc_runner.results.files import atomic_file
from hpc_runner.sandbox.images import containers_dir

__all__ = ["own_wheel"]

_WHEEL = "Wheel-Version: 1.0\nGenerator: hpc_runner\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_SCRIPTS = "[console_scripts]\nhpc-runner = hpc_runner.cli:main\n"
_WHEN = (2026, 1, 1, 0, 0, 0)


def own_wheel(directory: Path) -> Path:
    """Write the wheel of this very version into ``directory``; the same content gives the same
    bytes.  Raises ``StorageError``, ``RuntimeFailure`` when hpc_runner isn't installed."""
    try:
        about = distribution("hpc-runner").read_text("METADATA") or ""
    except PackageNotFoundError as error:
        raise RuntimeFailure("hpc_runner runs from a directory that isn't installed") from error
    version = hpc_runner.__version__
    info = f"hpc_runner-{version}.dist-info"
    path = directory / f"hpc_runner-{version}-py3-none-any.whl"
    content = dict(_package())
    content[f"{info}/METADATA"] = about.encode()
    content[f"{info}/WHEEL"] = _WHEEL.encode()
    content[f"{info}/entry_points.txt"] = _SCRIPTS.encode()
    record = [f"{name},{_digest(data)},{len(data)}\n" for name, data in content.items()]
    content[f"{info}/RECORD"] = "".join([*record, f"{info}/RECORD,,\n"]).encode()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{directory}: can't be made: {error.strerror}") from error
    with atomic_file(path, durable=False) as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name, _WHEN), data, zipfile.ZIP_DEFLATED)
    return path


def _package() -> Iterator[tuple[str, bytes]]:
    package = Path(hpc_runner.__file__).parent
    for top, prefix in ((package, "hpc_runner"), (containers_dir(), "hpc_runner/containers_data")):
        for path in sorted(top.rglob("*")):
            name = path.relative_to(top)
            hidden = "__pycache__" in name.parts or path.suffix == ".pyc"
            if path.is_file() and not hidden and "containers_data" not in name.parts:
                yield f"{prefix}/{name.as_posix()}", path.read_bytes()


def _digest(data: bytes) -> str:
    found = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"sha256={found}"
