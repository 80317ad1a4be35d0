"""From a model's reply to a program, or to the reason why there is none in it.

The answer that is asked for is JSON (``SCHEMA``).  What comes may be fenced, chatty, cut off or
nothing at all; each of these is told apart.  Nothing of an answer runs here.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hpc_runner.corpus.answers import extract_code
from hpc_runner.refine.refiner import Finish, Reply

__all__ = ["SCHEMA", "Trouble", "Unusable", "compile_error", "normalised", "program_in"]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string", "description": "What was wrong, in one sentence."},
        "code": {"type": "string", "description": "The whole corrected program, without fences."},
    },
    "required": ["explanation", "code"],
    "additionalProperties": False,
}


class Trouble(StrEnum):
    """Why an answer is of no use."""

    TRUNCATED = "truncated"
    """The answer was longer than the model may write."""
    REFUSED = "refused"
    EMPTY = "empty"
    """No text, or ``{}``, which providers put in the place of what was cut off."""
    WRONG_SCHEMA = "wrong_schema"
    """JSON, but not the answer's."""
    NO_CODE = "no_code"
    """Text without a program."""
    DOES_NOT_COMPILE = "does_not_compile"


@dataclass(frozen=True)
class Unusable:
    trouble: Trouble
    detail: str = ""


def program_in(reply: Reply, language: str, entry_point: str | None = None) -> str | Unusable:
    """The program that a reply holds; a Python program compiles."""
    if reply.finish is Finish.REFUSAL:
        return Unusable(Trouble.REFUSED)
    if reply.finish is Finish.LENGTH:
        return Unusable(Trouble.TRUNCATED)
    text = reply.text.strip()
    if reply.finish is Finish.EMPTY or text in ("", "{}", "null"):
        return Unusable(Trouble.EMPTY)
    code = _code(text, language, entry_point)
    if isinstance(code, Unusable):
        return code
    code = extract_code(code, language, entry_point)  # fences inside of the JSON
    if not code.strip():
        return Unusable(Trouble.NO_CODE)
    try:
        code.encode()
    except UnicodeEncodeError:
        return Unusable(Trouble.DOES_NOT_COMPILE, "half a character (a lone surrogate)")
    if language == "python" and (error := compile_error(code)) is not None:
        return Unusable(Trouble.DOES_NOT_COMPILE, error)
    return code if code.endswith("\n") else code + "\n"


def _code(text: str, language: str, entry_point: str | None) -> str | Unusable:
    found = _object(text)
    if found is not None:
        code = found.get("code")
        return code if isinstance(code, str) else Unusable(Trouble.WRONG_SCHEMA, _keys(found))
    text = _INNER_FENCE.sub(r"\n\1", text)
    code = extract_code(text, language, entry_point)
    if code == text and (language != "python" or compile_error(text) is not None):
        return Unusable(Trouble.NO_CODE)
    if language == "python" and _only_words(code):
        return Unusable(Trouble.NO_CODE)
    return code


_INNER_FENCE = re.compile(r"(?<=[^\n`])(```\w*\n)")
"""A fence that begins in the middle of a line of prose."""


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, or that stands in it: the last one with the key ``code``,
    or else the whole text."""
    try:
        whole = json.loads(text)
        return whole if isinstance(whole, dict) else None
    except ValueError:
        pass
    decoder, found, place = json.JSONDecoder(strict=False), None, text.find("{")
    for _ in range(_MOST_STARTS):
        if place < 0:
            break
        try:
            value, end = decoder.raw_decode(text, place)
        except ValueError:
            end = place + 1
        else:
            if isinstance(value, dict) and isinstance(value.get("code"), str):
                found = value
        place = text.find("{", end)
    return found


_MOST_STARTS = 200
"""Braces that are looked at as the start of an answer: a long text may have many."""


def _keys(found: dict[str, Any]) -> str:
    return f"keys {', '.join(sorted(found)[:5])}"


def _only_words(code: str) -> bool:
    """Whether a text that is Python by chance (``Sorry``) does nothing."""
    try:
        body = _parsed(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(item, ast.Expr | ast.Pass) for item in body) and not any(
        isinstance(node, ast.Call) for item in body for node in ast.walk(item)
    )


def compile_error(code: str) -> str | None:
    """Why Python doesn't compile it; None if it does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, "solution.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f" (line {error.lineno})" if error.lineno else ""
        return f"{type(error).__name__}: {error.msg}{where}"
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def normalised(code: str, language: str) -> str:
    """Equal for programs that differ in comments and layout only, as far as can be told."""
    if language == "python":
        try:
            return ast.unparse(_parsed(code))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    return "\n".join(line.rstrip() for line in code.splitlines() if line.strip())


def _parsed(code: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)
