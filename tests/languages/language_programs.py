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
}  # fmt: skip
