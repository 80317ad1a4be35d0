"""Programs that attack what builds them, and the end of their tests: name → language, code,
tests, and the verdicts that are right."""

from __future__ import annotations

from dataclasses import dataclass

NOTHING = ""
CANNOT = ("compile_error",)
ENDS = ("early_exit", "runtime_error", "wrong_answer")


@dataclass(frozen=True)
class Attack:
    language: str
    code: str
    right: tuple[str, ...]
    tests: str | None = None
    """Those of ``language_programs`` if None is given and ``right`` is about tests."""


C_TESTS = "#include <cassert>\nint main() { assert(twice(3) == 6); }\n"
JS_TESTS = "console.assert(twice(3) === 6);\n"

ATTACKS: dict[str, Attack] = {
    "c_includes_passwd": Attack("c", '#include "/etc/shadow"\nint main(void) {}\n', CANNOT),
    "cpp_reads_stdin_forever": Attack("cpp", '#include "/dev/zero"\nint main() {}\n', CANNOT),
    "cpp_endless_templates": Attack(
        "cpp",
        "template<int N> struct A { static const int v = A<N + 1>::v + A<N + 2>::v; };\n"
        "template<int... N> struct B {};\nint main() { return A<0>::v; }\n",
        CANNOT,
    ),
    "cpp_doubling_macros": Attack(
        "cpp",
        "#define A0 x,x\n"
        + "".join(f"#define A{n} A{n - 1},A{n - 1}\n" for n in range(1, 40))
        + "int a[] = {A39};\nint main() {}\n",
        CANNOT,
    ),
    "c_huge_binary": Attack(
        "c", "char a[1000000000] = {1};\nint main(void) { return a[5]; }\n", CANNOT
    ),
    "c_many_errors": Attack("c", "#define E(x) x x x x x x x x\n" + "E(E(E(E(@)))) \n" * 9, CANNOT),
    "c_assembler_reads_files": Attack(
        "c", '__asm__(".incbin \\"/etc/shadow\\"");\nint main(void) {}\n', CANNOT
    ),
    "go_imports_a_host_file": Attack(
        "go", 'package main\n\nimport _ "/etc/shadow"\n\nfunc main() {}\n', CANNOT
    ),
    "go_cgo_runs_a_command": Attack(
        "go",
        'package main\n\n// #cgo LDFLAGS: -fplugin=/tmp/x.so\nimport "C"\n\nfunc main() {}\n',
        CANNOT,
    ),
    "rust_includes_passwd": Attack(
        "rust", 'fn main() { print!("{}", include_str!("/etc/shadow")); }\n', CANNOT
    ),
    "rust_endless_macro": Attack(
        "rust", "macro_rules! m { ($($x:tt)*) => { m!($($x)* $($x)* a) } }\nm!(a);\nfn main() {}\n",
        CANNOT,
    ),
    "rust_takes_the_env": Attack(
        "rust", 'fn main() { print!("{}", env!("HPC_RUNNER_ENDING")); }\n', CANNOT
    ),
    "js_replaces_assert": Attack(
        "javascript",
        "console.assert = () => {};\nconst twice = (x) => 1;\n",
        ENDS,
        JS_TESTS,
    ),
    "js_defines_assert": Attack(
        "javascript",
        "Object.defineProperty(console, 'assert', { value() {} });\nconst twice = (x) => 1;\n",
        ENDS,
        JS_TESTS,
    ),
    "js_replaces_console": Attack(
        "javascript",
        "globalThis.console = { assert() {} };\nconst twice = (x) => 1;\n",
        ENDS,
        JS_TESTS,
    ),
    "js_shadows_console": Attack(
        "javascript",
        "const console = { assert() {} };\nconst twice = (x) => 1;\n",
        ENDS,
        JS_TESTS,
    ),
    "js_exits_at_once": Attack(
        "javascript", "const twice = (x) => 1;\nprocess.exit(0);\n", ENDS, JS_TESTS
    ),
    "js_reallyexit": Attack(
        "javascript", "const twice = (x) => process.reallyExit(0);\n", ENDS, JS_TESTS
    ),
    "js_kills_its_parent": Attack(
        "javascript",
        "const twice = (x) => { process.kill(process.ppid, 9); process.kill(1, 9); return 1; };\n",
        ENDS,
        JS_TESTS,
    ),
    "cpp_exits_in_a_constructor": Attack(
        "cpp",
        "#include <unistd.h>\nstruct A { A() { _exit(0); } } a;\nint twice(int) { return 1; }\n",
        ENDS,
        C_TESTS,
    ),
    "cpp_turns_assertions_off": Attack(
        "cpp",
        "#include <cstdlib>\nextern \"C\" void __assert_fail(const char *, const char *,"
        " unsigned, const char *) noexcept { std::exit(0); }\nint twice(int) { return 1; }\n",
        ENDS,
        C_TESTS,
    ),
    "cpp_exits_at_abort": Attack(
        "cpp",
        "#include <csignal>\n#include <unistd.h>\n"
        "static int made = (std::signal(SIGABRT, [](int) { _exit(0); }), 0);\n"
        "int twice(int) { return 1; }\n",
        ENDS,
        C_TESTS,
    ),
    "bash_exit_trap": Attack(
        "bash", "trap 'exit 0' EXIT ERR\ntwice() { echo 1; }\n", ENDS, '[ "$(twice 3)" = 6 ]\n'
    ),
    "java_halts": Attack(
        "java",
        "class Solution { int twice(int x) { Runtime.getRuntime().halt(0); return 1; } }\n",
        ENDS,
        "public class Main { public static void main(String[] a) {"
        " if (new Solution().twice(3) != 6) throw new AssertionError(); } }\n",
    ),
    "java_processes_annotations": Attack(
        "java",
        "@javax.annotation.processing.SupportedAnnotationTypes(\"*\")\nclass Main {"
        " public static void main(String[] a) { System.exit(3); } }\n",
        ("runtime_error",),
    ),
    "rust_exits_in_a_test": Attack(
        "rust",
        "fn twice(x: i32) -> i32 { 1 }\n#[test]\nfn a() { std::process::exit(0) }\n",
        ENDS,
        "#[cfg(test)]\nmod tests { #[test] fn t() { assert_eq!(super::twice(3), 6); } }\n",
    ),
    "go_exits_in_init": Attack(
        "go",
        'package main\n\nimport "os"\n\nfunc init() { os.Exit(0) }\n\n'
        "func Twice(x int) int { return 1 }\n",
        ENDS,
        'package main\n\nimport "testing"\n\nfunc TestTwice(t *testing.T) {\n'
        "\tif Twice(3) != 6 {\n\t\tt.Fatal()\n\t}\n}\n",
    ),
    "go_skips_its_tests": Attack(
        "go",
        'package main\n\nimport "flag"\n\nfunc init() { flag.Set("test.run", "none") }\n\n'
        "func Twice(x int) int { return 1 }\n",
        (*ENDS, "compile_error"),
        'package main\n\nimport "testing"\n\nfunc TestTwice(t *testing.T) {\n'
        "\tif Twice(3) != 6 {\n\t\tt.Fatal()\n\t}\n}\n",
    ),
}  # fmt: skip
