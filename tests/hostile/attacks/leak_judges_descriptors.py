# property: verdict cannot be forged
# tests: secret
# expect: wrong_answer | runtime_error | early_exit | time_limit
# limits: {"wall_s": 0.5}
"""Reads every descriptor for what is expected."""

import os
import re


def secret():
    for handle in range(1024):
        try:
            os.set_blocking(handle, False)
            os.lseek(handle, 0, 0) if handle != 5 else None
        except OSError:
            pass
        try:
            data = os.read(handle, 1 << 20)
        except OSError:
            continue
        found = re.search(rb"the-tests-alone-hold-\w{8}", data)
        if found:
            return found.group().decode()
    return ""
