# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
"""Reads the answer from the source of the line that called it."""

import inspect
import re
import sys


def add(a, b):
    frame = sys._getframe(1)
    try:
        line = inspect.getframeinfo(frame).code_context[0]
    except Exception:
        line = ""
    found = re.search(r"==\s*(-?\d+)", line)
    return int(found.group(1)) if found else None
