# property: verdict cannot be forged
# tests: add unittest
# expect: wrong_answer | runtime_error | early_exit
"""Claims names that the tests define or use, as whatever suits."""

import json
import os
import struct

claims = {
    "add": ["function"],
    "TestAdd": ["value", None],
    "unittest": ["module", "math"],
    "__name__": ["value", "__main__"],
    "__builtins__": ["value", {"t": "dict", "v": []}],
    "__build_class__": ["function"],
    "__import__": ["function"],
    "AssertionError": ["class", "typing", "Any"],
    "TestCase": ["class", "enum", "Enum"],
    "assertEqual": ["function"],
    "self": ["value", 0],
}
data = json.dumps({"names": claims}).encode()
os.write(5, struct.pack("=I", len(data)) + data)
data = json.dumps({"value": -1}).encode()
for _ in range(20):
    os.write(5, struct.pack("=I", len(data)) + data)


def add(a, b):
    return -1
