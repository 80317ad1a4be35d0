# property: verdict cannot be forged
# tests: add
# expect: wrong_answer | runtime_error | early_exit | time_limit
# limits: {"wall_s": 0.5}
"""Hands descriptors to the judge, more than it may have."""

import array
import os
import socket

judge = socket.socket(fileno=os.dup(5))


def add(a, b):
    handles = array.array("i", [0, 1, 2] * 60)
    for _ in range(10):
        try:
            judge.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handles)])
        except OSError:
            break
    return 0
