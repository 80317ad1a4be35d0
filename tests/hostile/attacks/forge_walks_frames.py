# property: verdict cannot be forged
# tests: add
# expect: wrong_answer | runtime_error
"""Looks for the harness in the frames below, and speaks for it."""

import os
import sys


def add(a, b):
    frame = sys._getframe()
    while frame is not None:
        for name, value in list(frame.f_locals.items()):
            if hasattr(value, "done") and hasattr(value, "send"):
                value.done("accepted")
                os._exit(0)
            if name == "nonce" or (isinstance(value, dict) and "nonce" in value):
                nonce = value["nonce"] if isinstance(value, dict) else value
                for handle in range(3, 32):
                    try:
                        os.write(handle, b'{"done": "accepted", "nonce": "%s"}\n' % nonce.encode())
                    except OSError:
                        pass
        frame = frame.f_back
    return 0
