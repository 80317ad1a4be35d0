# property: verdict cannot be forged
# tests: add
# expect: early_exit
# teeth: passes
"""Leaves before the tests begin."""

import sys

sys.exit(0)
