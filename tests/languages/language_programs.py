"""Small programs in every language that can be run, by what they have to be judged as."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Programs:
    """``echo`` reads a number and prints its double; ``function`` defines one, which ``tests``
    tries, and ``wrong`` another one, which they refuse."""

    echo: str
    not_compiling: str
    failing: str
    """Ends with an error; ``failure`` is what it is called."""
    failure: str
    endless: str
    hungry: str
    function: str
    wrong: str
    leaving: str
    """``function``, but it ends the program as if all were well."""
    tests: str


PROGRAMS = {
    "bash": Programs(
        echo='read -r n\necho $((2 * n))\n',
        not_compiling='if true; then echo x\n',
        failing='set -e\nno_such_program_here\n',
        failure="CommandNotFound",
        endless='while :; do :; done\n',
        hungry='a=x; while :; do a=$a$a; done\n',
        function='twice() { echo $((2 * $1)); }\n',
        wrong='twice() { echo $(($1 + 2)); }\n',
        leaving='twice() { echo 6; }\nexit 0\n',
        tests='[ "$(twice 3)" = 6 ]\n[ "$(twice 0)" = 0 ]\n',
    ),
    "c": Programs(
        echo=(
            "#include <stdio.h>\n"
            'int main(void) { long n; scanf("%ld", &n); printf("%ld\\n", 2 * n); }\n'
        ),
        not_compiling='int main(void) { return x; }\n',
        failing='int main(void) { volatile int *p = 0; return *p; }\n',
        failure="Signal",
        endless='int main(void) { volatile int x = 0; for (;;) x = x + 1; }\n',
        hungry=(
            '#include <stdlib.h>\n#include <string.h>\n'
            'int main(void) { for (;;) memset(malloc(1 << 20), 1, 1 << 20); }\n'
        ),
        function='int twice(int x) { return 2 * x; }\n',
        wrong='int twice(int x) { return x + 2; }\n',
        leaving='#include <stdlib.h>\nint twice(int x) { exit(0); }\n',
        tests=(
            "#include <assert.h>\n"
            "int main(void) { assert(twice(3) == 6); assert(twice(0) == 0); }\n"
        ),
    ),
    "go": Programs(
        echo=(
            'package main\n\nimport "fmt"\n\n'
            'func main() {\n\tvar n int\n\tfmt.Scan(&n)\n\tfmt.Println(2 * n)\n}\n'
        ),
        not_compiling='package main\n\nfunc main() { x }\n',
        failing='package main\n\nfunc main() { panic("so it is") }\n',
        failure="Panic",
        endless='package main\n\nfunc main() {\n\tfor {\n\t}\n}\n',
        hungry=(
            'package main\n\nvar all [][]byte\n\nfunc main() {\n\tfor {\n'
            '\t\tb := make([]byte, 1<<20)\n'
            '\t\tfor i := range b {\n\t\t\tb[i] = 1\n\t\t}\n\t\tall = append(all, b)\n\t}\n}\n'
        ),
        function='package main\n\nfunc Twice(x int) int { return 2 * x }\n',
        wrong='package main\n\nfunc Twice(x int) int { return x + 2 }\n',
        leaving='package main\n\nimport "os"\n\nfunc Twice(x int) int { os.Exit(0); return 6 }\n',
        tests=(
            'package main\n\nimport "testing"\n\nfunc TestTwice(t *testing.T) {\n'
            '\tif Twice(3) != 6 || Twice(0) != 0 {\n\t\tt.Fatal("twice")\n\t}\n}\n'
        ),
    ),
    "java": Programs(
        echo=(
            'import java.util.Scanner;\n\npublic class Doubling {\n'
            '    public static void main(String[] a) {\n'
            '        System.out.println(2 * new Scanner(System.in).nextLong());\n    }\n}\n'
        ),
        not_compiling='class Main { public static void main(String[] a) { x(); } }\n',
        failing=(
            'class Main { public static void main(String[] a) {'
            ' throw new IllegalStateException("so it is"); } }\n'
        ),
        failure="IllegalStateException",
        endless='class Main { public static void main(String[] a) { for (;;) {} } }\n',
        hungry=(
            'class Main { public static void main(String[] a) {'
            ' var all = new java.util.ArrayList<byte[]>();'
            ' for (;;) all.add(new byte[1 << 20]); } }\n'
        ),
        function='class Solution { int twice(int x) { return 2 * x; } }\n',
        wrong='class Solution { int twice(int x) { return x + 2; } }\n',
        leaving='class Solution { int twice(int x) { System.exit(0); return 6; } }\n',
        tests=(
            'import java.util.List;\n\npublic class Main {\n'
            '    public static void main(String[] a) {\n'
            '        for (int x : List.of(3, 0)) {\n'
            '            if (new Solution().twice(x) != x + x) throw new AssertionError();\n'
            '        }\n    }\n}\n'
        ),
    ),
    "javascript": Programs(
        echo=(
            "const n = Number(require('fs').readFileSync('/dev/stdin', 'utf8'));\n"
            "console.log(2 * n);\n"
        ),
        not_compiling="const f = (x => {\n",
        failing="null.x;\n",
        failure="TypeError",
        endless="for (;;) {}\n",
        hungry="const a = [];\nfor (;;) a.push(new Uint8Array(1 << 20).fill(1));\n",
        function="const twice = (x) => 2 * x;\n",
        wrong="const twice = (x) => x + 2;\n",
        leaving="const twice = (x) => process.exit(0);\n",
        tests="console.assert(twice(3) === 6, 'three');\nconsole.assert(twice(0) === 0);\n",
    ),
    "cpp": Programs(
        echo=(
            "#include <iostream>\n"
            "int main() { long n; std::cin >> n; std::cout << 2 * n << '\\n'; }\n"
        ),
        not_compiling="int main() { return x; }\n",
        failing='#include <stdexcept>\nint main() { throw std::runtime_error("so it is"); }\n',
        failure="std::runtime_error",
        endless="int main() { volatile int x = 0; for (;;) x = x + 1; }\n",
        hungry=(
            "#include <cstdlib>\n#include <cstring>\n"
            "int main() { for (;;) std::memset(std::malloc(1 << 20), 1, 1 << 20); }\n"
        ),
        function="int twice(int x) { return 2 * x; }\n",
        wrong="int twice(int x) { return x + 2; }\n",
        leaving="#include <cstdlib>\nint twice(int x) { std::exit(0); }\n",
        tests=(
            "#undef NDEBUG\n#include <cassert>\n"
            "int main() { assert(twice(3) == 6); assert(twice(0) == 0); }\n"
        ),
    ),
    "rust": Programs(
        echo=(
            'use std::io::Read;\nfn main() {\n    let mut text = String::new();\n'
            '    std::io::stdin().read_to_string(&mut text).unwrap();\n'
            '    println!("{}", 2 * text.trim().parse::<i64>().unwrap());\n}\n'
        ),
        not_compiling='fn main() { x }\n',
        failing='fn main() { panic!("so it is"); }\n',
        failure="Panic",
        endless=(
            "use std::sync::atomic::{AtomicBool, Ordering};\n"
            "static DONE: AtomicBool = AtomicBool::new(false);\n"
            "fn main() { while !DONE.load(Ordering::SeqCst) {} }\n"
        ),
        hungry='fn main() { let mut a = vec![]; loop { a.push(vec![1u8; 1 << 20]); } }\n',
        function='fn twice(x: i32) -> i32 { 2 * x }\n',
        wrong='fn twice(x: i32) -> i32 { x + 2 }\n',
        leaving='fn twice(x: i32) -> i32 { std::process::exit(0) }\n',
        tests=(
            '#[cfg(test)]\nmod tests {\n    use super::*;\n    #[test]\n    fn test_twice() {\n'
            '        assert_eq!(twice(3), 6);\n        assert_eq!(twice(0), 0);\n    }\n}\n'
        ),
    ),
    "typescript": Programs(
        echo=(
            "import * as fs from 'fs';\n"
            "const n: number = Number(fs.readFileSync('/dev/stdin', 'utf8'));\n"
            "console.log(2 * n);\n"
        ),
        not_compiling="const x: number = 'a';\n",
        failing='const x: any = null;\nx.y;\n',
        failure="TypeError",
        endless='for (;;) {}\n',
        hungry='const a: Uint8Array[] = [];\nfor (;;) a.push(new Uint8Array(1 << 20).fill(1));\n',
        function='const twice = (x: number): number => 2 * x;\n',
        wrong='const twice = (x: number): number => x + 2;\n',
        leaving='const twice = (x: number): number => process.exit(0);\n',
        tests="console.assert(twice(3) === 6, 'three');\nconsole.assert(twice(0) === 0);\n",
    ),
}  # fmt: skip
