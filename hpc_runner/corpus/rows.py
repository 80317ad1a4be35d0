"""One row of a corpus with checked access to its fields.

Every accessor raises ``RowError`` that names file, row and key; so formats can
read a row as if it were right.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

from hpc_runner.errors import RowError

_ESCAPED_SURROGATE = re.compile(r"\\(?:u[dD]|U0000[dD])")
_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_DEPTH = 100
MAX_INTEGER_BITS = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """``number`` counts within ``file``, ``index`` over all files of the corpus, both from 0."""

    file: str
    number: int
    index: int
    fields: dict[str, Any]

    def bad(self, key: str, reason: str) -> RowError:
        return RowError(self.file, self.number, key, reason)

    def get(self, key: str) -> Any:
        """The value of ``key``; null counts as missing."""
        value = self.fields.get(key)
        if value is None:
            raise self._absent(key)
        return value

    def _absent(self, key: str) -> RowError:
        state = "is null" if key in self.fields else "is missing"
        return self.bad(key, f"{state}; the row has {_names(self.fields)}")

    def has(self, *keys: str) -> bool:
        return all(self.fields.get(key) is not None for key in keys)

    def text(self, key: str) -> str:
        return self.check_text(key, self.get(key))

    def text_or(self, key: str, default: str = "") -> str:
        return self.text(key) if self.has(key) else default

    def name(self, *keys: str) -> str:
        """The first of ``keys`` that there is, as an identifier; whole numbers become text."""
        for key in keys:
            value = self.fields.get(key)
            if isinstance(value, int) and not isinstance(value, bool):
                return str(value)
            if value is not None:
                text = self.text(key)
                if not text:
                    raise self.bad(key, "is empty")
                return text
        raise self._absent(keys[0])

    def strings(self, key: str) -> list[str]:
        """A list of strings, given as a list or as the JSON of one."""
        value = self.data(key) if isinstance(self.fields.get(key), str) else self.get(key)
        items = self.check(key, value, list)
        return [self.check_text(f"{key}[{i}]", item) for i, item in enumerate(items)]

    def data(self, key: str, *, literal: bool = False, check: bool = False) -> Any:
        """A value that is there as itself or as a string of JSON.

        With ``literal`` the string may also be a Python literal, which is
        parsed and never evaluated.  With ``check`` JSON from a string goes through
        ``check_data``, as all else does anyway.
        """
        value = self.get(key)
        if not isinstance(value, str):
            return self.check_data(key, value)
        value = self.decode(key, value, literal)
        return self.check_data(key, value) if check else value

    def decode(self, key: str, text: str, literal: bool = False) -> Any:
        try:
            value = json.loads(text)
        except RecursionError as error:
            raise self.bad(key, "JSON that is nested too deeply") from error
        except ValueError as error:
            if not literal:
                raise self.bad(key, f"not JSON: {error}") from error
            value = self._literal(key, text)
            return self.check_data(key, value)
        # Inner JSON can bring in by an escape what the outer text was free of.
        return self.check_data(key, value) if _ESCAPED_SURROGATE.search(text) else value

    def _literal(self, key: str, text: str) -> Any:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
            raise self.bad(key, f"neither JSON nor a Python literal: {error}") from error

    def check(self, key: str, value: Any, kind: type[Any]) -> Any:
        """``value``, which must be of ``kind`` (a bool is no number)."""
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.bad(key, f"expected {_kind(kind)}, found {_kind(type(value))}")
        return value

    def check_number(self, key: str, value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not abs(value) < 1e300:
                raise self.bad(key, "expected a finite number")
            return float(value)
        raise self.bad(key, f"expected a number, found {_kind(type(value))}")

    def check_text(self, key: str, value: Any) -> str:
        """``value``, a string that UTF-8 can hold."""
        text: str = self.check(key, value, str)
        if not text.isascii() and (found := _SURROGATE.search(text)):
            raise self.bad(
                key,
                f"a lone surrogate, or a byte that is not UTF-8"
                f" (U+{ord(found.group()):04X} at character {found.start()})",
            )
        return text

    def check_data(self, key: str, value: Any) -> Any:
        """``value``, which JSON can hold and give back: text of UTF-8, objects with
        keys of text, nested at most ``MAX_DEPTH`` deep."""
        stack = [(key, value, 0)]
        while stack:
            where, item, depth = stack.pop()
            if depth > MAX_DEPTH:
                raise self.bad(key, f"nested deeper than {MAX_DEPTH}")
            if isinstance(item, str):
                self.check_text(where, item)
            elif isinstance(item, list | tuple):
                stack.extend((f"{where}[{i}]", part, depth + 1) for i, part in enumerate(item))
            elif isinstance(item, dict):
                for name, part in item.items():
                    self.check_text(where, name)
                    stack.append((f"{where}.{name}", part, depth + 1))
            elif isinstance(item, int):
                if item.bit_length() > MAX_INTEGER_BITS:
                    raise self.bad(where, f"a number of more than {MAX_INTEGER_BITS} bits")
            elif item is not None and not isinstance(item, float):
                raise self.bad(where, f"{_kind(type(item))} has no place in JSON")
        return value

    def check_code(self, key: str, code: str) -> str:
        """``code``, which must be text without NUL characters."""
        self.check_text(key, code)
        if (at := code.find("\0")) >= 0:
            raise self.bad(key, f"a NUL character in code, at character {at}")
        return code


def _names(fields: dict[str, Any]) -> str:
    return ", ".join(list(map(str, fields))[:30]) or "no fields"


def _kind(kind: type[Any]) -> str:
    words = {
        str: "a string",
        list: "a list",
        dict: "an object",
        type(None): "null",
        int: "a number",
    }
    return words.get(kind, f"a {kind.__name__}")
