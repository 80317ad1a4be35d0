# property: host unharmed
# tests: none
# expect: accepted | runtime_error
"""Nonsense with the right nonce, which a program can read in the frames below it."""

import sys

frame = sys._getframe()
report = None
while frame is not None and report is None:
    report = frame.f_locals.get("report")
    frame = frame.f_back
if report is not None and not isinstance(report, int):
    for message in (
        {"died": 5}, {"died": []}, {"died": [1, 2, 3, 4]}, {"died": {}}, {"test": 7},
        {"test": []}, {"suspicion": [[]]}, {"inline": {}}, {"done": []}, {"done": "sublime"},
        {"done": {}, "error": 5}, {"locked": []}, {"done": None, "error": [[], []]},
    ):  # fmt: skip
        report.send(**message)
