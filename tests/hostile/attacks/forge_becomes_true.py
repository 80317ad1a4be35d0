# property: verdict cannot be forged
# tests: add
# expect: early_exit
# teeth: passes
"""Becomes a program that always succeeds."""

import os

os.execv("/bin/true", ["true"])
