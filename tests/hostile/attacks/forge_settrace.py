# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
# teeth: passes
"""Watches the tests run and rewrites what they compare."""

import os
import sys
import threading


def trace(frame, event, argument):
    if frame.f_code.co_name == "check" and event in ("exception", "return"):
        os._exit(0)
    return trace


sys.settrace(trace)
threading.settrace(trace)


def add(a, b):
    sys.settrace(trace)
    caller = sys._getframe(1)
    caller.f_trace = trace
    return 0
