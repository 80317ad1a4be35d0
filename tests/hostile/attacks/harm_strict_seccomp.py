# property: host unharmed
# tests: none
# expect: runtime_error | early_exit | accepted
"""Forbids itself to end in an orderly way."""

import ctypes

ctypes.CDLL(None).prctl(22, 1, 0, 0, 0)
