"""Where a run's site profile comes from, and where it is kept.

A value comes from the command line, else from the profile's file, else from the defaults.
``slurm/profiles/`` has files to start from.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from hpc_runner.config import explain
from hpc_runner.errors import ConfigError, RunError, StorageError
from hpc_runner.pipeline.profiles import SBATCH_KEYS, Profile
from hpc_runner.results.files import write_json
from hpc_runner.rundir import RunDir

__all__ = ["load_profile", "read_profile", "write_profile"]


def load_profile(path: Path | None, given: Sequence[str] = ()) -> Profile:
    """The profile in a file, or the defaults, with what the command line has ``given`` as
    ``KEY=VALUE``: ``time=10``, ``coordinator.partition=debug``; a list's key once for each item.

    Raises ``ConfigError`` that names the file, the line and the key.
    """
    text, values = _read(path) if path is not None else ("", {})
    for table, key in _unknown(values, Profile):
        raise ConfigError(_at(path, text, table, key) + _nearest(key, table))
    try:
        return Profile.model_validate(_overridden(values, given))
    except ValidationError as error:
        item = error.errors()[0]
        where = [str(part) for part in item["loc"] if isinstance(part, str)]
        of_line = ".".join(where) in {option.partition("=")[0] for option in given}
        at = f"--slurm {'.'.join(where)}: " if of_line else _at(path, text, where[:-1], where[-1])
        raise ConfigError(at + _reason(item)) from error


def write_profile(run: RunDir, profile: Profile) -> None:
    """What this run's jobs are like from now on; also when it is resumed.  Raises
    ``StorageError``."""
    write_json(run.profile, profile.model_dump(mode="json"))


def read_profile(run: RunDir) -> Profile | None:
    """None for a run that has never been on a cluster.  Raises ``RunError``, ``StorageError``."""
    try:
        return Profile.model_validate_json(run.profile.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"can't read {run.profile}: {error.strerror}") from error
    except ValidationError as error:
        raise RunError(
            f"{run.profile}: {explain(error)}. `hpc-runner resume {run.root} --profile FILE` "
            "writes it anew"
        ) from error


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        here = sorted(other.name for other in path.parent.glob("*.toml"))
        there = f"; {path.parent} has {', '.join(here)}" if here else ""
        raise ConfigError(f"there is no profile {path}{there}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML file: {error}") from error


def _unknown(
    values: Mapping[str, Any], model: type[BaseModel], table: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, value in values.items():
        if key not in model.model_fields:
            yield table, key
            continue
        inner = model.model_fields[key].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and isinstance(value, dict):
            yield from _unknown(value, inner, (*table, key))


def _nearest(key: str, table: Sequence[str]) -> str:
    model: type[BaseModel] = Profile
    for name in table:
        inner = model.model_fields[name].annotation
        assert isinstance(inner, type) and issubclass(inner, BaseModel)
        model = inner
    known = list(model.model_fields)
    slurms = SBATCH_KEYS.get(key.replace("_", "-"))
    near = [slurms] if slurms in known else difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return f"no key of a profile; {hint}"


def _at(path: Path | None, text: str, table: Sequence[str], key: str) -> str:
    name = ".".join([*table, key])
    return f"{path}, line {_line(text, table, key)}, {name!r}: "


def _line(text: str, table: Sequence[str], key: str) -> int:
    """Where a key stands; 1 if it is written in a way that a search doesn't find."""
    current: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            current = [part.strip(" '\"") for part in header[1].split(".")]
        elif (match := re.match(r"\s*([\w.'\"-]+)\s*=", line)) is not None:
            parts = [*current, *(part.strip("'\"") for part in match[1].split("."))]
            if parts == [*table, key]:
                return number
    return 1


def _reason(item: Mapping[str, Any]) -> str:
    message = item["msg"].removeprefix("Value error, ")
    found = repr(item["input"])
    return f"{message} (found {found if len(found) <= 60 else found[:57] + '...'})"


def _overridden(values: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """``values`` with what the command line says, lists replaced as a whole."""
    told: dict[str, Any] = {k: dict(v) if isinstance(v, dict) else v for k, v in values.items()}
    begun: set[str] = set()
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"--slurm: KEY=VALUE, such as partition=debug (found {text!r})")
        *table, key = name.split(".")
        for where, unknown in _unknown(_nested(table, key), Profile):
            raise ConfigError(f"--slurm {text}: {'.'.join([*where, unknown])!r}: "
                              + _nearest(unknown, where))  # fmt: skip
        place = told
        for part in table:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--slurm {text}: {part!r} is given as a value, too")
        if _is_list(table, key):
            place[key] = [*(place[key] if name in begun else ()), value]
        else:
            place[key] = value
        begun.add(name)
    return told


def _nested(table: Sequence[str], key: str) -> dict[str, Any]:
    found: dict[str, Any] = {key: ""}
    for part in reversed(table):
        found = {part: found}
    return found


def _is_list(table: Sequence[str], key: str) -> bool:
    model: Any = Profile
    for part in table:
        model = model.model_fields[part].annotation
    field = getattr(model, "model_fields", {}).get(key)
    return field is not None and str(field.annotation).startswith("tuple")
