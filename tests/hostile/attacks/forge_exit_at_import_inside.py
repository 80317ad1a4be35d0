# property: verdict cannot be forged
# tests: add unittest
# expect: early_exit
# teeth: passes
"""Leaves before the tests begin, without a word."""

import os

os._exit(0)
