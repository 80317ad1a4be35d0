# property: verdict cannot be forged
# tests: sort
# expect: wrong_answer | runtime_error | early_exit
"""Replies with every part at once, malformed."""

import json
import os
import struct


def say(message):
    data = json.dumps(message).encode()
    os.write(5, struct.pack("=I", len(data)) + data)


def sort(values):
    say(
        {
            "value": {"t": "opaque", "v": "list"},
            "changed": {"0": [1, 2, 3], "-1": [], "9": [], "x": 1},
            "raise": ["AssertionError", "X", []],
        }
    )
    say({"value": {"t": "tuple", "v": [{"t": "set", "v": [[]]}]}})
    say({"value": {"t": "function", "v": "x"}, "exit": None})
    return values
