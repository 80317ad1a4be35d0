# property: host unharmed
# tests: add
# expect: wrong_answer | runtime_error | early_exit
# not claimed: inline: where the candidate shares the tests' process it can speak for them
"""The same where the tests run in the candidate's process."""

import gc
import os


def add(a, b):
    reports = [item for item in gc.get_objects() if type(item).__name__ == "Report"]
    if not reports:
        return object()
    for message in (
        {"test": 7}, {"test": []}, {"test": ["0"]}, {"test": [[], {}, "x", None]},
        {"suspicion": {}}, {"done": "sublime", "error": 5}, {"died": 7}, {"inline": []},
    ):  # fmt: skip
        try:
            reports[0].send(**message)
        except OSError:
            return object()
    os._exit(0)
