"""Dependencies of candidates: resolved on the host into read-only directories.

    CACHE/sets/KEY.json        what a set of requirements came to (``Manifest``)
    CACHE/content/DIGEST/      its packages, read-only, named by their content

Only wheels are installed, so nothing of a package is executed here.  Both are
written elsewhere and renamed into place: any number of processes may resolve
the same set at the same time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distributions
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from hpc_runner.corpus.packages import declared_name
from hpc_runner.errors import DependencyError, StorageError
from hpc_runner.model import canonical_json
from hpc_runner.results.files import write_json
from hpc_runner.sandbox.installer import Target, compile_tree, index_settings, install

__all__ = [
    "Manifest",
    "ResolvedSet",
    "Sets",
    "cache_directory",
    "distinct",
    "read_sets",
    "resolve",
    "resolve_all",
    "verify",
    "write_sets",
]

AT_ONCE = 4
_LITTER_S = 86_400.0
"""Age at which what a killed process has left is removed."""


class Manifest(BaseModel):
    """What a set of requirements came to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requirements: tuple[str, ...]
    """Sorted, each once."""
    python: str
    platform: str
    source: str
    """Where the wheels came from: "wheelhouse DIR", or "index"."""
    resolver: str
    """For example "uv 0.9.1"."""
    versions: dict[str, str]
    """Package → version of everything that was installed."""
    files: dict[str, str]
    """Relative path → hex SHA-256."""
    content: str
    """Hex SHA-256 over ``files``: the directory's name."""


class ResolvedSet(BaseModel):
    """A set of requirements as the workers of a run know it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requirements: tuple[str, ...]
    directory: str | None = None
    """Absolute path on the host; None when it couldn't be resolved."""
    versions: dict[str, str] = {}
    error: str | None = None
    """Why it couldn't be resolved."""


Sets = Mapping[tuple[str, ...], ResolvedSet]
"""What an environment's sets of requirements came to."""


def distinct(dependencies: Iterable[str]) -> tuple[str, ...]:
    """The set that a candidate's dependencies are: sorted, each once."""
    return tuple(sorted({dependency.strip() for dependency in dependencies}))


def cache_directory() -> Path:
    """``$XDG_CACHE_HOME/hpc_runner/deps``, or the same below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return root / "hpc_runner" / "deps"


def resolve_all(
    sets: Iterable[tuple[str, ...]], target: Target, *, wheelhouse: str | None, cache: Path
) -> list[ResolvedSet]:
    """Each set, resolved or with the reason why not, in the same order.  Raises nothing for
    a set that can't be had; ``StorageError`` when the cache can't be written."""

    def one(requirements: tuple[str, ...]) -> ResolvedSet:
        try:
            manifest = resolve(requirements, target, wheelhouse=wheelhouse, cache=cache)
        except DependencyError as error:
            return ResolvedSet(requirements=requirements, error=str(error))
        directory = str(_directory(cache, manifest.content))
        return ResolvedSet(
            requirements=requirements, directory=directory, versions=manifest.versions
        )

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, sets))


def resolve(
    requirements: Iterable[str], target: Target, *, wheelhouse: str | None, cache: Path
) -> Manifest:
    """Have ``CACHE/content/DIGEST`` hold what ``requirements`` need.

    What is in the cache is used when every file of it still has its hash.
    ``wheelhouse``: a directory of wheels, used instead of any index.  Raises
    ``DependencyError`` with the resolver's reason, ``StorageError``.
    """
    wanted = distinct(requirements)
    foreign = [requirement for requirement in wanted if declared_name(requirement) is None]
    if foreign:
        raise DependencyError(
            f"{foreign[0]!a} is not the name of a package with versions; addresses, paths and"
            " options are not taken from a corpus"
        )
    key = _key(wanted, target, wheelhouse)
    record = cache / "sets" / f"{key}.json"
    known = _read_manifest(record)
    if known is not None and verify(_directory(cache, known.content), known):
        return known
    try:
        for name in ("sets", "content"):
            (cache / name).mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        return _install(wanted, target, wheelhouse, cache, record)
    except OSError as error:
        raise StorageError(
            f"the cache of dependencies {cache} can't be written: {error}; set XDG_CACHE_HOME"
            " to a directory that can"
        ) from error


def verify(directory: Path, manifest: Manifest) -> bool:
    """Whether the directory holds exactly the files of the manifest."""
    try:
        return directory.is_dir() and dict(_hashes(directory)) == manifest.files
    except (OSError, DependencyError):
        return False


def write_sets(path: Path, resolved: Mapping[str, Iterable[ResolvedSet]]) -> None:
    """Write what a wave's dependencies came to in each environment.  Raises ``StorageError``."""
    sets = {name: [item.model_dump() for item in found] for name, found in resolved.items()}
    write_json(path, {"environments": sets})


def read_sets(path: Path) -> dict[str, Sets]:
    """By environment, what ``write_sets`` has written; nothing where a wave has no dependencies.

    Raises ``StorageError`` for a damaged file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            environment: {
                known.requirements: known for known in map(ResolvedSet.model_validate, items)
            }
            for environment, items in content["environments"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{path}: can't be read: {error}") from error


def _key(requirements: tuple[str, ...], target: Target, wheelhouse: str | None) -> str:
    if wheelhouse is None:
        source: object = index_settings()
    else:
        # A wheel that is replaced under the same name is another wheel.
        wheels = sorted(Path(wheelhouse).glob("*.whl"))
        source = [[w.name, w.stat().st_size, w.stat().st_mtime_ns] for w in wheels]
    content = {
        "requirements": requirements,
        "python": target.version,
        "platform": target.platform,
        "source": source,
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()


def _install(
    wanted: tuple[str, ...], target: Target, wheelhouse: str | None, cache: Path, record: Path
) -> Manifest:
    staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=cache / "content"))
    tree = staging / "tree"
    try:
        resolver = install(wanted, target, tree, wheelhouse)
        compile_tree(tree, target)
        files = dict(_hashes(tree))
        manifest = Manifest(
            requirements=wanted,
            python=target.version,
            platform=target.platform,
            source="index" if wheelhouse is None else f"wheelhouse {wheelhouse}",
            resolver=resolver,
            versions={d.metadata["Name"]: d.version for d in distributions(path=[str(tree)])},
            files=files,
            content=_content(files),
        )
        _make_read_only(tree)
        _publish(tree, manifest, cache)
        written = staging / "manifest"
        written.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        written.replace(record)
        return manifest
    finally:
        _remove(staging)


def _publish(tree: Path, manifest: Manifest, cache: Path) -> None:
    """Rename the tree into its place, unless an equal one is there already."""
    target = _directory(cache, manifest.content)
    for _ in range(2):
        try:
            # Renamed while its top is writable: moving a directory changes its "..".
            tree.chmod(0o755)
            tree.rename(target)
            target.chmod(0o555)
            return
        except OSError:
            if not target.is_dir():
                raise
            if verify(target, manifest):
                return
            _remove(target)  # damaged since it was made
    raise StorageError(f"{target} is damaged and can't be replaced; remove it")


def _directory(cache: Path, content: str) -> Path:
    return cache / "content" / content


def _content(files: Mapping[str, str]) -> str:
    lines = [f"{digest} {path}\n" for path, digest in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _hashes(tree: Path) -> Iterator[tuple[str, str]]:
    """Raises ``DependencyError`` for what is neither a file nor a directory."""
    for path in sorted(tree.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            yield path.relative_to(tree).as_posix(), digest
        elif not stat.S_ISDIR(mode):
            raise DependencyError(f"a package holds {path.name!a}, which is no plain file")


def _read_manifest(record: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json(record.read_bytes())
    except (OSError, ValidationError):
        return None  # as good as not there: it is made anew


def _make_read_only(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o555 if runs else 0o444)


def _remove(tree: Path) -> None:
    """Also when it is read-only."""
    for path in (tree, *tree.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(tree, ignore_errors=True)


def _sweep(cache: Path) -> None:
    """Remove what killed processes left long ago."""
    for staging in (cache / "content").glob(".staging-*"):
        try:
            old = time.time() - staging.stat().st_mtime > _LITTER_S
        except FileNotFoundError:
            continue  # its owner has just finished
        if old:
            _remove(staging)
