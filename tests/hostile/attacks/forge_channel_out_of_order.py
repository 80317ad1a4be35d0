# property: verdict cannot be forged
# tests: add
# expect: wrong_answer | runtime_error | early_exit
"""Answers what was not asked yet."""

import json
import os
import struct


def say(message):
    data = json.dumps(message).encode()
    os.write(5, struct.pack("=I", len(data)) + data)


say({"names": {"add": ["function"], "check": ["value", True]}})
for _ in range(10):
    say({"value": 6})
    say({"done": "accepted", "test": ["0", "accepted", 0, ""]})


def add(a, b):
    return 6
