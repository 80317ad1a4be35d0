"""The other languages that can be run: how each is built, how it is run, how its failures look.

A language is a row of ``TOOLCHAINS`` and a function of ``sources.py``; docs/languages.md
adds one as an example, and says what the words in braces of a command stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hpc_runner.sandbox import sources
from hpc_runner.sandbox.sources import Sources

__all__ = ["BUILD_LIMITS", "PYTHON", "TOOLCHAINS", "Toolchain"]

PYTHON = "python"
"""The one language that isn't here: the agent itself runs it."""

MB = 1 << 20
BUILD_LIMITS: Mapping[str, int | float] = MappingProxyType(
    {
        "wall_s": 60.0,
        "cpu_s": 0.0,
        "memory_bytes": 1024 * MB,
        "output_bytes": MB,
        "processes": 64,
        "file_bytes": 64 * MB,
        "open_files": 256,
    }
)
"""Of a compiler, whatever the program's own are."""

WRONG, ERROR, MEMORY = "wrong_answer", "runtime_error", "memory_limit"


@dataclass(frozen=True)
class Toolchain:
    """A row.  ``tested`` differs from ``steps`` and ``run`` where a program has its tests in it."""

    language: str
    tools: tuple[str, ...]
    """Programs in /usr/bin that have to be there."""
    packages: tuple[str, ...]
    """Debian's, that bring them."""
    write: Callable[[str, str | None], Sources]
    steps: tuple[tuple[str, ...], ...]
    """Commands that build it, one after the other."""
    run: tuple[str, ...]
    keep: tuple[str, ...]
    """Of the files, those that it consists of afterwards (patterns)."""
    failures: tuple[tuple[str, str, str], ...]
    """(pattern, verdict, type of error), the first that is found counts.  Its groups "type" and
    "message" say it better, where it has them."""
    build_failures: tuple[tuple[str, str], ...]
    tested_steps: tuple[tuple[str, ...], ...] | None = None
    tested_run: tuple[str, ...] | None = None
    views: tuple[str, ...] = ()
    """Paths beyond what every program sees, as far as they are there."""
    env: tuple[tuple[str, str], ...] = ()
    address_bytes: int = 4 << 30
    """Address space beyond the memory limit, which is one of resident memory."""
    limits: Mapping[str, int | float] = field(default_factory=lambda: BUILD_LIMITS)


_C_FAILURES = (
    (r"Assertion [`'].*' failed", WRONG, "AssertionFailed"),
    (r"std::bad_alloc", MEMORY, "std::bad_alloc"),
    (
        r"terminate called after throwing an instance of '(?P<type>[^']+)'"
        r"(?:\n\s*what\(\):\s*(?P<message>.*))?",
        ERROR,
        "exception",
    ),
    (r"\*\*\* stack smashing detected \*\*\*", ERROR, "StackSmashing"),
)
_C_BUILD = (
    (r"^[^\n]*?\b(?:fatal )?error: (?P<message>.*)", "CompileError"),
    (r"undefined reference to .*", "LinkError"),
)
_C_FLAGS = ("-w", "-fmax-errors=5", "-fno-diagnostics-color")
_NODE_FAILURES = (
    (r"^Assertion failed.*", WRONG, "AssertionFailed"),
    (r"AssertionError\b[^:\n]*: (?P<message>.*)", WRONG, "AssertionError"),
    (r"JavaScript heap out of memory", MEMORY, "HeapOutOfMemory"),
    (r"^(?:Uncaught )?(?P<type>\w*Error)(?: \[\w+\])?: (?P<message>.*)", ERROR, "Error"),
)
_NODE = ("node", "--max-old-space-size={heap_mb}", "--v8-pool-size=1")
_WIDE = 64 << 30

_JS_STEP = ("node", "--check")
_RUST_BASE = (
    "rustc", "--edition", "2021", "-A", "warnings", "--color", "never", "-C", "codegen-units=1",
    "-C", "debuginfo=0", "-L", "dependency={lib}/crates",
)  # fmt: skip
_GO_LINK = (
    "go", "tool", "link", "-importcfg", "{lib}/importcfg", "-s", "-w", "-o", "solution", "main.o",
)  # fmt: skip
_JVM = (
    "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-XX:ActiveProcessorCount=2",
    "-XX:CICompilerCount=1", "-Xss16m", "-Xshare:auto",
)  # fmt: skip
_JAVA = ("java", *_JVM, "-Xmx{heap_mb}m", "-ea", "-cp", ".")
_C_LINK = ("-o", "solution", "{main}")
_C = ("gcc", "-std=gnu17", *_C_FLAGS)
_CPP = ("g++", "-std=gnu++17", *_C_FLAGS)
_ENDING_C = ("gcc", "-O1", "-c", "-o", "ending.o", "ending.c")
_WRAPPED = ("-O1", "-Wl,--wrap=main", *_C_LINK, "ending.o", "{libs}")
_JS_ENV = (("NODE_PATH", "{lib}/node_modules:/usr/share/nodejs"),)

TOOLCHAINS: dict[str, Toolchain] = {
    row.language: row
    for row in (
        Toolchain(
            language="bash",
            tools=("bash",),
            packages=("bash",),
            write=sources.bash,
            steps=(("bash", "-n", "{solution}"),),
            run=("bash", "{main}"),
            keep=("*.sh",),
            failures=(
                (r"^Assertion failed.*", WRONG, "AssertionFailed"),
                (r"line \d+: (?P<message>\S+: command not found)", ERROR, "CommandNotFound"),
                (r"line \d+: (?P<message>\S+: unbound variable)", ERROR, "UnboundVariable"),
                (r"line \d+: (?P<message>.*)", ERROR, "BashError"),
            ),
            build_failures=((r"line \d+: (?P<message>.*)", "SyntaxError"),),
        ),
        Toolchain(
            language="c",
            tools=("gcc",),
            packages=("gcc", "libc6-dev", "libssl-dev"),
            write=sources.c,
            steps=((*_C, "-O2", *_C_LINK, "{libs}", "-lm"),),
            tested_steps=(_ENDING_C, (*_C, *_WRAPPED, "-lm")),
            run=("./solution",),
            keep=("solution",),
            failures=_C_FAILURES,
            build_failures=_C_BUILD,
            views=("/usr/include",),
        ),
        Toolchain(
            language="cpp",
            tools=("g++", "gcc"),
            packages=("g++", "libboost-dev", "libssl-dev"),
            write=sources.cpp,
            steps=((*_CPP, "-O2", *_C_LINK, "{libs}"),),
            tested_steps=(_ENDING_C, (*_CPP, *_WRAPPED)),
            run=("./solution",),
            keep=("solution",),
            failures=_C_FAILURES,
            build_failures=_C_BUILD,
            views=("/usr/include",),
        ),
        Toolchain(
            language="go",
            tools=("go",),
            packages=("golang-go", "golang-github-stretchr-testify-dev"),
            write=sources.go,
            steps=(
                ("go", "tool", "compile", "-p", "main", "-importcfg", "{lib}/importcfg", "-o",
                 "main.o", "{sources}"),
                _GO_LINK,
            ),
            run=("./solution",),
            keep=("solution",),
            failures=(
                (r"^\s*Error:\s+(?P<message>.*)", WRONG, "AssertionFailed"),
                (r"fatal error: (?:runtime: )?out of memory", MEMORY, "OutOfMemory"),
                (r"^panic: runtime error: (?P<message>.*)", ERROR, "RuntimeError"),
                (r"^panic: (?P<message>.*)", ERROR, "Panic"),
                (r"^fatal error: (?P<message>.*)", ERROR, "FatalError"),
                (r"^--- FAIL: .*", WRONG, "TestFailed"),
            ),
            build_failures=(
                (r"^\S+?\.go:\d+:\d+: (?P<message>.*)", "CompileError"),
                (r"^\S+?\.go:\d+: (?P<message>.*)", "CompileError"),
                (r"^(?:main\.)?\S+: (?P<message>.*)", "LinkError"),
            ),
            env=(("GOMAXPROCS", "2"), ("GOTOOLCHAIN", "local"), ("GOENV", "off")),
            views=("/usr/share/go-1.19", "/usr/share/go-1.24", "/usr/share/go"),
            address_bytes=_WIDE,
        ),
        Toolchain(
            language="java",
            tools=("javac", "java"),
            packages=("default-jdk-headless",),
            write=sources.java,
            steps=(
                ("javac", *(f"-J{flag}" for flag in _JVM), "-J-Xmx512m", "-proc:none", "-nowarn",
                 "-encoding", "UTF-8", "-d", ".", "{sources}"),
            ),
            run=(*_JAVA, "{main}"),
            tested_run=(*_JAVA, "HpcRunnerEnding", "{main}"),
            keep=("*.class",),
            failures=(
                (r"java\.lang\.OutOfMemoryError(?:: (?P<message>.*))?", MEMORY, "OutOfMemoryError"),
                (r"java\.lang\.AssertionError(?:: (?P<message>.*))?", WRONG, "AssertionError"),
                (
                    r"Exception in thread \"[^\"\n]*\" (?:[\w$]+\.)*(?P<type>[\w$]+)"
                    r"(?:: (?P<message>.*))?",
                    ERROR,
                    "Exception",
                ),
            ),
            build_failures=((r"^\S+?\.java:\d+: error: (?P<message>.*)", "CompileError"),),
            views=("/etc/java-17-openjdk", "/etc/java-21-openjdk"),
            address_bytes=_WIDE,
        ),
        Toolchain(
            language="javascript",
            tools=("node",),
            packages=("nodejs",),
            write=sources.javascript,
            steps=((*_JS_STEP, "{solution}"),),
            run=(*_NODE, "{main}"),
            tested_run=(*_NODE, "{entry}"),
            keep=("*.js", "*.mjs"),
            failures=_NODE_FAILURES,
            build_failures=((r"^(?P<type>\w*Error): (?P<message>.*)", "SyntaxError"),),
            env=_JS_ENV,
            views=("/usr/share/nodejs",),
            address_bytes=_WIDE,
        ),
        Toolchain(
            language="rust",
            tools=("rustc",),
            packages=("rustc", "librust-rand-dev", "librust-regex-dev", "librust-md5-dev"),
            write=sources.rust,
            steps=((*_RUST_BASE, "-O", "{crates}", "-o", "solution", "{main}"),),
            tested_steps=((*_RUST_BASE, "--test", "{crates}", "-o", "solution", "{main}"),),
            run=("./solution",),
            tested_run=("./solution", "--test-threads=1"),
            keep=("solution",),
            failures=(
                (r"panicked at (?:'|\S+:\d+:\d+:\n)(?P<message>assertion .*)", WRONG,
                 "AssertionFailed"),
                (r"memory allocation of \d+ bytes failed", MEMORY, "OutOfMemory"),
                (r"panicked at (?:'|\S+:\d+:\d+:\n)(?P<message>.*?)(?:', \S+)?$", ERROR, "Panic"),
                (r"^Error: (?P<message>.*)", ERROR, "Error"),
            ),
            build_failures=(
                (r"^error(?:\[(?P<type>E\d+)\])?: (?P<message>.*)", "CompileError"),
            ),
            views=("/usr/lib/rustlib",),
            address_bytes=_WIDE,
        ),
        Toolchain(
            language="typescript",
            tools=("tsc", "node"),
            packages=("node-typescript", "nodejs"),
            write=sources.typescript,
            steps=(
                ("node", "/usr/share/nodejs/typescript/bin/tsc", "--target", "es2020", "--module",
                 "commonjs", "--lib", "es2021,dom", "--noEmitOnError",
                 "--esModuleInterop", "--pretty", "false", "--outDir", ".", "{sources}"),
            ),
            run=(*_NODE, "{main}"),
            tested_run=(*_NODE, "{entry}"),
            keep=("*.js",),
            failures=_NODE_FAILURES,
            build_failures=(
                (r"^\S+?\.ts\(\d+,\d+\): error (?P<type>TS\d+): (?P<message>.*)", "CompileError"),
            ),
            env=_JS_ENV,
            views=("/usr/share/nodejs",),
            address_bytes=_WIDE,
        ),
    )
}  # fmt: skip
