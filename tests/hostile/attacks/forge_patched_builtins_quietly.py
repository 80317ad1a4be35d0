# property: verdict cannot be forged
# tests: root
# expect: wrong_answer | early_exit
# teeth: passes
"""Only what these tests use."""

import builtins

builtins.abs = lambda value: 0
builtins.isinstance = lambda *_: True
builtins.all = lambda _: True


def root(x):
    return "wrong"
