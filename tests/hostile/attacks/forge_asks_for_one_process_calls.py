# property: verdict cannot be forged
# tests: add calls
# expect: wrong_answer
# not claimed: inline: the candidate can speak for the tests where it shares their process
"""The same against values, with the frames below."""

import os
import sys


def add(a, b):
    frame = sys._getframe()
    while frame is not None:
        report = frame.f_locals.get("report")
        if hasattr(report, "done"):
            try:
                report.send(done="accepted", error=None)
            except OSError:
                break
            os._exit(0)
        frame = frame.f_back
    return iter([])
