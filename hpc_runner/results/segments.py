"""Parquet files that many processes add to, and nobody locks.

A segment's name is the SHA-256 of its content; it is renamed into place and never changed.
Joining some writes one more, which names those that it replaces: from then on they are
passed over, and removed when nobody can be reading them any more.  Whoever dies in
between leaves rows twice, which readers must take.  Nothing here needs more of a file
system than an atomic rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hpc_runner.errors import StorageError
from hpc_runner.results.files import discard, sync_directory

__all__ = ["Segments"]

GRACE_S = 600.0
"""How long a segment stays after it was replaced: a look that began before may last."""
LITTER_S = 86_400.0
"""Age at which what a killed writer has left is removed."""

_ABOUT = b"hpc_runner.segment"


class Segments:
    """The segments under ``directory``, all of one ``schema``; made at the first write.

    What isn't what its name says is moved to ``damaged`` (unless ``readonly``) and ``say``
    is told.  Segments of another schema are passed over.
    """

    def __init__(
        self,
        directory: Path,
        schema: pa.Schema,
        *,
        damaged: Path,
        say: Callable[[str], None],
        readonly: bool = False,
    ) -> None:
        self._directory = directory
        self._schema = schema
        self._damaged = damaged
        self._say = say
        self._readonly = readonly
        self._known: dict[Path, dict[str, object] | None] = {}
        """What is known of a file that was looked at: None for one of another schema."""

    def live(self) -> list[Path]:
        """The segments whose rows count, sorted by name.  Raises ``StorageError``."""
        found = self._sound()
        replaced = {name for path in found for name in self._replaced_by(path)}
        return [path for path in found if path.stem not in replaced]

    def about(self, path: Path) -> Mapping[str, object]:
        """What ``write`` was told of a segment that ``live`` returned."""
        return self._known.get(path) or {}

    def write(
        self,
        tables: Iterable[pa.Table | pa.RecordBatch],
        about: Mapping[str, object] | None = None,
        *,
        replaces: Sequence[Path] = (),
    ) -> Path:
        """Add one segment.  ``about``: JSON data that stays with it.  Raises ``StorageError``."""
        content = {**(about or {}), "replaces": sorted(path.stem for path in replaces)}
        schema = self._schema.with_metadata({_ABOUT: json.dumps(content).encode()})
        temporary = self._directory / f".new-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with (
                temporary.open("xb") as file,
                pq.ParquetWriter(
                    file, schema, compression="zstd", write_page_checksum=True
                ) as writer,
            ):
                for table in tables:
                    whole = table if isinstance(table, pa.Table) else pa.Table.from_batches([table])
                    writer.write_table(whole.cast(schema))
                writer.close()
                file.flush()
                os.fsync(file.fileno())
            path = self._directory / f"{_digest(temporary)}.parquet"
            temporary.replace(path)
            sync_directory(self._directory)
        except (OSError, pa.ArrowException) as error:
            discard(temporary)
            raise StorageError(f"{self._directory}: can't be written: {error}") from error
        except BaseException:
            discard(temporary)
            raise
        return path

    def sweep(self) -> None:
        """Remove what was replaced long enough ago, and what killed writers left."""
        now = time.time()
        found = {path.stem: path for path in self._sound()}
        gone = [
            found[name]
            for path in found.values()
            if _age_s(path, now) > GRACE_S
            for name in self._replaced_by(path)
            if name in found
        ]
        # Oldest first: what a removed one has replaced must not come back.
        for path in sorted(set(gone), key=lambda path: -_age_s(path, now)):
            path.unlink(missing_ok=True)
        for path in self._directory.glob(".new-*"):
            if _age_s(path, now) > LITTER_S:
                path.unlink(missing_ok=True)

    def clear(self) -> None:
        for path in [*self._directory.glob("*.parquet"), *self._directory.glob(".new-*")]:
            path.unlink(missing_ok=True)

    def _sound(self) -> list[Path]:
        return sorted(
            path for path in self._directory.glob("[0-9a-f]*.parquet") if self._is_sound(path)
        )

    def _is_sound(self, path: Path) -> bool:
        if path in self._known:
            return self._known[path] is not None
        try:
            if _digest(path) != path.stem:
                self._set_aside(path)
                return False
            metadata = pq.read_schema(path)
        except FileNotFoundError:
            return False  # removed meanwhile, so its rows are in another one
        except (OSError, pa.ArrowException) as error:
            raise StorageError(f"{path}: can't be read: {error}") from error
        fits = metadata.equals(self._schema)
        about = (metadata.metadata or {}).get(_ABOUT, b"{}")
        self._known[path] = json.loads(about) if fits else None
        return fits

    def _set_aside(self, path: Path) -> None:
        self._say(f"{path} is damaged: nothing in it is believed")
        if self._readonly:
            return
        try:
            self._damaged.mkdir(parents=True, exist_ok=True)
            path.replace(self._damaged / path.name)
        except FileNotFoundError:
            return  # another process was faster
        except OSError as error:
            self._say(f"{path} can't be set aside ({error.strerror}): remove it")

    def _replaced_by(self, path: Path) -> Iterator[str]:
        names = self.about(path).get("replaces", [])
        assert isinstance(names, list)
        yield from names


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _age_s(path: Path, now: float) -> float:
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
