# property: verdict cannot be forged
# tests: {"kind": "assertions", "code": "def check(candidate):\n    assert len(candidate(3)) == 3\n    assert sorted(candidate(2)) == [0, 1]\n    assert isinstance(candidate(1), list)\n", "cases": ["check(numbers)"], "entry_point": "numbers"}
# expect: wrong_answer | runtime_error | early_exit
"""Claims to have defined the functions that the tests measure it with."""

import json
import os
import struct


def say(message):
    data = json.dumps(message).encode()
    os.write(5, struct.pack("=I", len(data)) + data)


say(
    {
        "names": {
            "numbers": ["function"],
            "len": ["function"],
            "sorted": ["function"],
            "isinstance": ["function"],
            "list": ["value", 0],
        }
    }
)
for value in ([], 3, [], [0, 1], [], True, True):
    say({"value": value})


def numbers(n):
    return []
