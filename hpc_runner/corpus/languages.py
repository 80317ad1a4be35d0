"""The languages that corpora are written in: names, fence tags and file extensions.

That a language stands here means that readers recognise it, not that it can be
run; what runs is up to the sandbox.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """``name`` is what ``Candidate.language`` holds; all other words are lower case."""

    name: str
    aliases: tuple[str, ...]
    extensions: tuple[str, ...]


LANGUAGES = (
    Language("python", ("py", "python3", "py3", "pypy", "pypy3", "ipython"), (".py",)),
    Language("python2", ("py2",), ()),
    Language("javascript", ("js", "node", "nodejs", "ecmascript"), (".js", ".mjs")),
    Language("typescript", ("ts",), (".ts",)),
    Language("go", ("golang",), (".go",)),
    Language("rust", ("rs",), (".rs",)),
    Language("cpp", ("c++", "cc", "cxx", "cpp17", "cpp20"), (".cpp", ".cc", ".cxx")),
    Language("c", ("c99", "c11"), (".c",)),
    Language("java", (), (".java",)),
    Language("csharp", ("c#", "cs"), (".cs",)),
    Language("ruby", ("rb",), (".rb",)),
    Language("bash", ("sh", "shell"), (".sh",)),
)

BY_NAME = {word: item for item in LANGUAGES for word in (item.name, *item.aliases)}
BY_EXTENSION = {extension: item for item in LANGUAGES for extension in item.extensions}


def canonical(word: str) -> str | None:
    """The name that ``word`` stands for (case and surrounding white space don't
    count), or None when it isn't known."""
    language = BY_NAME.get(word.strip().lower())
    return language.name if language else None
