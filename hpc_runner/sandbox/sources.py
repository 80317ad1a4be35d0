"""What files a program in another language than Python consists of, with its tests and without.

Each function makes of ``code`` and ``tests`` (None where the program is judged by its
output) the files by name, and says which of them, or which class, is the main one.  What
stands in ``harness/`` is added to tests: it says that the program has got to their end.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["Sources", "bash", "c", "cpp", "go", "java", "javascript", "rust", "typescript"]

HARNESS = Path(__file__).with_name("harness")

Sources = tuple[dict[str, str], str]
"""Files by name, and the main one."""

_MODULE = re.compile(
    r"^[ \t]*(?:import\s*[\w{*\"']|export\s+(?:default|const|let|var|function|class|async|\{|\*))",
    re.MULTILINE,
)
_GO_TEST = re.compile(r"^func\s+(Test\w*)\s*\(\s*\w+\s+\*testing\.T\s*\)", re.MULTILINE)
_GO_MAIN = re.compile(r"^func\s+main\s*\(\s*\)", re.MULTILINE)
_JAVA_IMPORT = re.compile(r"^[ \t]*import\s+(?:static\s+)?[\w.*]+\s*;[ \t]*\n?", re.MULTILINE)
_JAVA_TYPE = r"(?:class|interface|enum|record)\s+(\w+)"
_JAVA_PUBLIC = re.compile(
    rf"^\s*public\s+(?:(?:final|abstract|sealed|strictfp)\s+)*{_JAVA_TYPE}", re.MULTILINE
)
_JAVA_MAIN = re.compile(r"\bstatic\s+(?:final\s+)?void\s+main\s*\(")


def harness(name: str) -> str:
    return (HARNESS / name).read_text(encoding="utf-8")


def c(code: str, tests: str | None) -> Sources:
    return _with_main(code, tests, "solution.c")


def cpp(code: str, tests: str | None) -> Sources:
    return _with_main(code, tests, "solution.cpp")


def _with_main(code: str, tests: str | None, name: str) -> Sources:
    if tests is None:
        return {name: code}, name
    return {name: f"{code}\n{tests}\n", "ending.c": harness("ending.c")}, name


def javascript(code: str, tests: str | None) -> Sources:
    """Modules are told by their imports and exports."""
    if _MODULE.search(code if tests is None else f"{code}\n{tests}"):
        if tests is None:
            return {"solution.mjs": code}, "solution.mjs"
        files = {"solution.mjs": f"{code}\n{tests}\n", "ending.js": harness("ending.js")}
        return files, "solution.mjs"
    if tests is None:
        return {"solution.js": code}, "solution.js"
    files = {"solution.js": code, "tests.js": tests, "ending.js": harness("ending.js")}
    return files, "ending.js"


def typescript(code: str, tests: str | None) -> Sources:
    """Compiled to JavaScript beside it: with its tests as one global scope, or one module."""
    ambient = {"ambient.d.ts": harness("ambient.d.ts")}
    if tests is None:
        return {"solution.ts": code, **ambient}, "solution.js"
    ambient["ending.js"] = harness("ending.js")
    if _MODULE.search(f"{code}\n{tests}"):
        return {"solution.ts": f"{code}\n{tests}\n", **ambient}, "ending.js"
    return {"solution.ts": code, "tests.ts": tests, **ambient}, "ending.js"


def bash(code: str, tests: str | None) -> Sources:
    if tests is None:
        return {"solution.sh": code}, "solution.sh"
    return {"solution.sh": code, "tests.sh": tests, "ending.sh": harness("ending.sh")}, "ending.sh"


def rust(code: str, tests: str | None) -> Sources:
    if tests is None:
        return {"solution.rs": code}, "solution.rs"
    main = "" if re.search(r"\bfn\s+main\s*\(", code) else "\nfn main() {}\n"
    return {"solution.rs": f"{code}{main}\n{tests}\n{harness('ending.rs')}"}, "solution.rs"


def go(code: str, tests: str | None) -> Sources:
    """Tests are functions ``TestName(t *testing.T)``; ``code`` and they are two files of one
    package, each with its own imports."""
    if tests is None:
        return {"solution.go": _packaged(code)}, "solution.go"
    names = _GO_TEST.findall(tests)
    listed = "".join(f'\t{{Name: "{name}", F: {name}}},\n' for name in names)
    table = (
        'package main\n\nimport "testing"\n\n'
        f"var hpcRunnerTests = []testing.InternalTest{{\n{listed}}}\n"
    )
    if not names:
        table += f'\nfunc init() {{ panic("{NO_TESTS}") }}\n'
    files = {
        "ending.go": harness("ending.go"),
        "solution.go": _GO_MAIN.sub("func hpcRunnerUnusedMain()", _packaged(code)),
        "tests.go": _packaged(tests),
        "table.go": table,
    }
    return files, "ending.go"


NO_TESTS = "there is no function TestName(t *testing.T) in the tests"


def _packaged(code: str) -> str:
    return code if re.search(r"^package\s+\w+", code, re.MULTILINE) else f"package main\n\n{code}"


def java(code: str, tests: str | None) -> Sources:
    """One file, called like its public class, with all imports at its top.  The main class is
    the one whose ``main`` comes last: the tests'."""
    whole = code
    if tests is not None:
        imports = "".join(dict.fromkeys(_JAVA_IMPORT.findall(code) + _JAVA_IMPORT.findall(tests)))
        whole = imports + _JAVA_IMPORT.sub("", code) + "\n" + _JAVA_IMPORT.sub("", tests)
        public = _JAVA_PUBLIC.findall(whole)
        if len(public) > 1:  # a file can have one
            whole = re.sub(rf"^(\s*)public\s+((?:final\s+)?class\s+{public[0]}\b)", r"\1\2", whole,
                           count=1, flags=re.MULTILINE)  # fmt: skip
    found = _JAVA_PUBLIC.findall(whole)
    starts = [match.start() for match in _JAVA_MAIN.finditer(whole)]
    before = re.findall(_JAVA_TYPE, whole[: starts[-1]] if starts else whole)
    main = before[-1] if before else "Main"
    package = re.search(r"^\s*package\s+([\w.]+)\s*;", whole, re.MULTILINE)
    files = {f"{found[-1] if found else 'Main'}.java": whole}
    if tests is not None:
        files["HpcRunnerEnding.java"] = harness("HpcRunnerEnding.java")
    return files, f"{package[1]}.{main}" if package else main
