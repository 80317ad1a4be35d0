# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
# teeth: passes
"""The same with the profiler's hook."""

import os
import sys
import threading


def profile(frame, event, argument):
    if frame.f_code.co_name == "check" and event == "return":
        os._exit(0)


sys.setprofile(profile)
threading.setprofile(profile)


def add(a, b):
    return 0
