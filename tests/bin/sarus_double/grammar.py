"""How Sarus reads its command line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sarus_double.config import Refused

Options = dict[str, bool]
"""Name, without dashes, of one letter or more → whether it takes a value."""

GLOBAL: Options = {"help": False, "version": False, "debug": False, "verbose": False}
CENTRALIZED: Options = {"centralized-repository": False}
COMMANDS: dict[str, Options] = {
    "help": {},
    "images": {**CENTRALIZED, "digests": False},
    "kill": {},
    "load": {**CENTRALIZED, "temp-dir": True},
    "ps": {},
    "pull": {**CENTRALIZED, "temp-dir": True, "login": False, "username": True},
    "rmi": CENTRALIZED,
    "run": {
        **CENTRALIZED,
        "annotation": True, "device": True, "entrypoint": True, "env": True, "e": True,
        "glibc": False, "init": False, "mount": True, "mpi": False, "m": False,
        "mpi-type": True, "name": True, "n": True, "pid": True, "ssh": False, "tty": False,
        "t": False, "workdir": True, "w": True,
    },
    "version": {},
}  # fmt: skip
LONG = {"e": "env", "m": "mpi", "n": "name", "t": "tty", "w": "workdir"}
USAGE = {
    "images": "sarus images [OPTIONS]",
    "kill": "sarus kill [NAME]",
    "load": "sarus load [OPTIONS] FILE NAME[:TAG]",
    "ps": "sarus ps",
    "pull": "sarus pull [OPTIONS] REPOSITORY[:TAG]",
    "rmi": "sarus rmi REPOSITORY[:TAG]",
    "run": "sarus run [OPTIONS] REPOSITORY[:TAG] [COMMAND] [ARG...]",
}

Given = list[tuple[str, str]]


def split(arguments: Sequence[str], options: Options) -> tuple[Given, list[str]]:
    """The options that stand before the first word that is none, and all that follows.

    Raises ``Refused``.  ``--`` is no option, and so the first word.
    """
    given: Given = []
    index = 0
    while index < len(arguments):
        word = arguments[index]
        index += 1
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            prefix = "--"
        elif word.startswith("-") and len(word) > 1 and word != "--":
            name, value, prefix = word[1], word[2:], "-"
            equals = "=" if value else ""
        else:
            return given, list(arguments[index - 1 :])
        if name not in options or (prefix == "--") == (len(name) == 1):
            raise Refused(f"unrecognised option '{word}'")
        if not options[name]:
            if equals:
                raise Refused(f"option '{prefix}{name}' does not take any arguments")
        elif not equals:
            if index == len(arguments) or _dashed(arguments[index]):
                raise Refused(f"the required argument for option '{prefix}{name}' is missing")
            value = arguments[index]
            index += 1
        elif not value:
            raise Refused(
                f"the argument for option '{prefix}{name}' should follow immediately after the"
                " equal sign"
            )
        given.append((LONG.get(name, name), value))
    return given, []


def _dashed(word: str) -> bool:
    return len(word) > 1 and word[0] == "-" and word[1] != "-"


# ------------------------------------------------------------------------- references

_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REFERENCE = re.compile(
    rf"((?:{_LABEL}(?:\.{_LABEL})*(?::[0-9]+)?/)?{_PART}(?:/{_PART})*)"
    r"(?::(\w[\w.-]{0,127}))?(?:@([A-Za-z][A-Za-z0-9]*:[0-9A-Fa-f]{32,}))?",
    re.ASCII,
)


def reference(text: str) -> tuple[str, str, str, str]:
    """Server, namespace and name as one path, tag, digest; the tag falls where a digest is.
    Raises ``Refused``."""
    if ".." in text:
        raise Refused(
            f"Invalid image reference '{text}'\n"
            "Image references are not allowed to contain the sequence '..'"
        )
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise Refused(f"Invalid image reference '{text}'")
    path, tag, digest = match[1], match[2] or "", match[3] or ""
    server, repository = "docker.io", path
    first, slash, rest = path.partition("/")
    if slash and ("." in first or ":" in first or first in ("localhost", "load")):
        server, repository = first, rest
    elif not slash:
        repository = f"library/{path}"
    return server, repository, "" if digest else tag or "latest", digest


# ----------------------------------------------------------------------------- mounts


def mount(text: str, forbidden: dict[str, list[str]]) -> tuple[str, str, bool]:
    """Source, destination and whether it is read-only.  Raises ``Refused``."""
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, _, value = part.partition("=")
        if not key:
            raise Refused(f"Error parsing '{text}'. Failed to parse key-value pair '{part}'")
        if "=" in value:
            raise Refused(
                f"Error parsing '{text}'. Invalid key-value pair '{part}': repeated use of"
                " separator is not allowed."
            )
        if key in fields:
            raise Refused(f"Error parsing '{text}'. Found duplicated key '{key}'")
        fields[key] = value
    invalid = f"Invalid mount request '{text}'"
    kind = fields.pop("type", None)
    if kind is None:
        raise Refused(f"{invalid}: 'type' must be specified")
    if kind != "bind":
        raise Refused(f"{invalid}: '{kind}' is not a valid mount type")
    source = _path(invalid, "source", fields, ("source", "src"))
    destination = _path(invalid, "destination", fields, ("destination", "dst", "target"))
    for prefix in forbidden.get("notAllowedPrefixesOfPath", []):
        if destination.startswith(prefix):
            raise Refused(f"{invalid}: destination cannot be a subdirectory of '{prefix}'")
    if destination in forbidden.get("notAllowedPaths", []):
        raise Refused(f"{invalid}: '{destination}' is not allowed as mount destination")
    readonly = fields.pop("readonly", None) is not None
    for key in fields:
        raise Refused(f"{invalid}: '{key}' is not a valid bind mount option")
    return source, destination, readonly


def _path(invalid: str, what: str, fields: dict[str, str], names: tuple[str, ...]) -> str:
    found = [fields.pop(name) for name in names if name in fields]
    if len(found) > 1:
        raise Refused(f"{invalid}: multiple formats used to specify mount {what}.")
    if not found:
        raise Refused(f"{invalid}: no {what} specified.")
    if not found[0]:
        raise Refused(f"{invalid}: {what} is empty")
    if not found[0].startswith("/"):
        raise Refused(f"{invalid}: {what} must be an absolute path")
    return found[0]
