# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
"""Prints what harnesses print."""

import json
import sys

for line in ("OK", "passed", "Ran 3 tests in 0.001s\n\nOK", "1 passed in 0.01s", "accepted"):
    print(line)
for done in ("accepted", "passed", True):
    print(json.dumps({"done": done, "verdict": done, "passed": True, "nonce": "0" * 32}))
    print(json.dumps({"op": "result", "id": 1, "verdict": "accepted"}), file=sys.stderr)


def add(a, b):
    print(json.dumps({"test": ["0", "accepted", 0.0, ""]}), flush=True)
    return 0
