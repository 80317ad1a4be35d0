# property: host unharmed
# tests: add
# expect: early_exit | wrong_answer | runtime_error
"""Nothing ends any more, and then its channel is gone: where does it return to?"""

import os

os._exit = lambda *_: None


def add(a, b):
    os.close(5)
    return a + b
