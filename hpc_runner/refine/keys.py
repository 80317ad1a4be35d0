"""The provider's key: read once, by the coordinator, and shown to nobody."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from hpc_runner.errors import ConfigError, KeyMissing

VARIABLES: Mapping[str, str] = {
    "openrouter": "OPENROUTER_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
}
"""Of providers that have one key.  Bedrock's and Vertex AI's clients find what they need by
themselves, in their usual places."""

SHORTEST = 8


class Secret:
    """A string that doesn't show itself: neither printed, nor compared, nor pickled."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def hide_in(self, text: str) -> str:
        """``text`` without the secret."""
        return text.replace(self._text, "[key]")

    def __repr__(self) -> str:
        return "Secret([key])"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written down")


def read_key(provider: str, key_file: Path | None, environment: Mapping[str, str]) -> Secret | None:
    """The key for ``provider``; None where its own client looks for one.

    Raises ``KeyMissing`` when there is none, ``ConfigError`` for a file that can't be one or
    that everybody on the machine can read.
    """
    if key_file is not None:
        return _checked(_from_file(key_file), f"--key-file {key_file}")
    variable = VARIABLES.get(provider)
    if variable is None:
        return None
    text = environment.get(variable, "").strip()
    if not text:
        raise KeyMissing(f"{variable} is not set, and there is no --key-file")
    return _checked(text, variable)


def _from_file(path: Path) -> str:
    try:
        if path.stat().st_mode & stat.S_IROTH:
            raise ConfigError(f"--key-file {path}: everybody can read it; chmod 600 it")
        return path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"--key-file {path}: not a key: not plain ASCII") from None
    except OSError as error:
        raise ConfigError(f"--key-file {path}: can't be read: {error.strerror}") from error


def _checked(text: str, where: str) -> Secret:
    """Never tells what it found: it may be half a key."""
    if not text.isprintable() or " " in text:
        raise ConfigError(f"{where}: not a key: it must be one word on one line")
    if len(text) < SHORTEST:
        raise ConfigError(f"{where}: not a key: shorter than {SHORTEST} characters")
    return Secret(text)
