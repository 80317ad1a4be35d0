# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
# not claimed: inline: the candidate can speak for the tests where it shares their process
"""Returns what can't cross, waits for the tests to come into its process, and takes over."""

import gc
import os


def add(a, b):
    for item in gc.get_objects():
        if type(item).__name__ == "Report":
            try:
                item.done(type("Verdict", (), {"value": "accepted"}))
            except OSError:
                continue
            os._exit(0)
    return object()
