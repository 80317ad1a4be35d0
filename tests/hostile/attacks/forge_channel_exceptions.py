# property: verdict cannot be forged
# tests: add unittest
# expect: wrong_answer | runtime_error | early_exit
"""Claims to have raised what ends the judge, or what its tests forgive."""

import json
import os
import struct

names = [
    "SystemExit",
    "BaseException",
    "GeneratorExit",
    "SkipTest",
    "_OtherMeta",
    "exec",
    "ExceptionGroup",
]


def add(a, b):
    for known in names:
        data = json.dumps({"raise": [known, "SkipTest\0", [{"t": "opaque", "v": "x"}]]}).encode()
        os.write(5, struct.pack("=I", len(data)) + data)
    return 0
