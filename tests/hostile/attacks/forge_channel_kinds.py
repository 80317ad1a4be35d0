# property: verdict cannot be forged
# tests: add
# expect: wrong_answer | runtime_error | early_exit
"""Claims to be things of the judge's own modules."""

import json
import os
import struct

data = json.dumps(
    {
        "names": {
            "add": ["class", "random", "_os"],
            "check": ["class", "unittest", "main"],
            "candidate": ["module", "os"],
            "print": ["class", "os", "system"],
            "x": [],
            "y": 5,
        }
    }
).encode()
os.write(5, struct.pack("=I", len(data)) + data)


def add(a, b):
    return 0
