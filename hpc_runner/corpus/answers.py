"""From a model's answer to the program in it.

Code that is already a program is never altered: each function looks for its
own occasion first, and Python that compiles is left alone.
"""

from __future__ import annotations

import re
import textwrap
import warnings
from dataclasses import dataclass

from hpc_runner.corpus.languages import canonical

_FENCE = re.compile(r"^[ ]{0,3}(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^\n`]*)$")
_THOUGHT_END = "</think>"


@dataclass(slots=True)
class _Block:
    language: str | None
    tagged: bool
    lines: list[str]
    closed: bool = False

    @property
    def code(self) -> str:
        return "\n".join(self.lines) + "\n"


def compiles(code: str) -> bool:
    """Whether ``code`` is Python; nothing of it runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(code, "<candidate>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return False
    return True


def defines(code: str, name: str, language: str = "python") -> bool:
    """Whether ``code`` defines ``name``, judged by its text.

    Python: a function or class of that name anywhere (a method of ``Solution``
    counts), or an assignment at the left margin.  Others: ``name`` as a word.
    """
    word = re.escape(name)
    if language != "python":
        return re.search(rf"(?<!\w){word}(?!\w)", code) is not None
    pattern = rf"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+{word}\b|^{word}[ \t]*(?::[^=\n]+)?=[^=]"
    return re.search(pattern, code, re.MULTILINE) is not None


def extract_code(text: str, language: str = "python", entry_point: str | None = None) -> str:
    """The program in a model's answer; ``text`` itself when there are no fences.

    Of several blocks those tagged with ``language`` count before untagged ones,
    and these before any other.  Of what is left the last complete block that
    defines ``entry_point`` is taken, or else the last complete block.  A fence
    that is never closed reaches to the end, and counts only when no block is
    complete; a lone closing fence ends the code that stands before it.
    """
    if "```" not in text and "~~~" not in text:
        return text
    if language == "python" and compiles(text):
        return text
    thought_end = text.rfind(_THOUGHT_END)
    if thought_end >= 0:
        answer = text[thought_end + len(_THOUGHT_END) :]
        if "```" in answer or "~~~" in answer:
            text = answer
    before, blocks = _blocks(text)
    if not blocks:
        return text
    only = blocks[0]
    if len(blocks) == 1 and not only.closed and not only.tagged and _is_code(before, only):
        return before
    for chosen in (
        [block for block in blocks if block.language == language],
        [block for block in blocks if not block.tagged],
        blocks,
    ):
        complete = [block for block in chosen if block.closed]
        if complete:
            return _pick(complete, language, entry_point)
    return _pick([b for b in blocks if b.language == language] or blocks, language, entry_point)


def normalise(code: str) -> str:
    """``code``, without its common indentation when only so it is Python.

    Code in a triple-quoted, indented string is what this is for.  Code that
    compiles is returned as it is, and so is code that no dedenting mends.
    """
    first = next((line for line in code.splitlines() if line.strip()), "")
    if not first[:1].isspace() or compiles(code):
        return code
    dedented = textwrap.dedent(code)
    return dedented if compiles(dedented) else code


def complete(prompt: str, completion: str, entry_point: str | None) -> str:
    """The program of a Python completion.

    1. The completion is appended to the prompt, as HumanEval's evaluator does.
    2. If it was fenced in Markdown and defines ``entry_point`` itself, it is
       not a continuation but a program: it takes the place of the prompt from
       the definition of ``entry_point`` on.  What the prompt says before that
       (imports, helpers) stays, because the model was shown it.
    3. If it was fenced and is a body at the left margin, it is indented.
    """
    code = extract_code(completion, "python", entry_point)
    if code == completion:
        return prompt + code
    if entry_point and defines(code, entry_point):
        preamble = prompt[: _definition(prompt, entry_point)]
        return code if "from __future__" in code else preamble + code
    whole = prompt + code
    if not compiles(whole):
        indented = prompt + textwrap.indent(code, "    ")
        if compiles(indented):
            return indented
    return whole


def _definition(prompt: str, entry_point: str) -> int:
    pattern = rf"^(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(entry_point)}\b"
    found = re.search(pattern, prompt, re.MULTILINE)
    return found.start() if found else 0


def _pick(blocks: list[_Block], language: str, entry_point: str | None) -> str:
    if entry_point:
        for block in reversed(blocks):
            if defines(block.code, entry_point, language):
                return block.code
    return blocks[-1].code


def _is_code(before: str, block: _Block) -> bool:
    """A lone bare fence closes code when what precedes it looks like code more than like prose."""
    if not before.strip():
        return False
    first = next(line for line in before.splitlines() if line.strip())
    return first[0].isspace() or compiles(before) or not block.code.strip()


def _blocks(text: str) -> tuple[str, list[_Block]]:
    """The text before the first fence, and the fenced blocks in order."""
    before: list[str] = []
    blocks: list[_Block] = []
    mark = ""
    for line in text.split("\n"):
        fence = _FENCE.match(line.rstrip("\r"))
        if fence is None:
            if mark:
                blocks[-1].lines.append(line)
            elif not blocks:
                before.append(line)
            continue
        found, info = fence["mark"], fence["info"].strip()
        if not mark:
            mark = found
            tag = re.split(r"[\s{},:]+", info.lstrip("{."), maxsplit=1)[0]
            blocks.append(_Block(canonical(tag), bool(info), []))
        elif found[0] == mark[0] and len(found) >= len(mark) and not info:
            blocks[-1].closed, mark = True, ""
        else:
            blocks[-1].lines.append(line)
    return "\n".join(before) + "\n", blocks
