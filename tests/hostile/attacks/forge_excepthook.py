# property: verdict cannot be forged
# tests: printed
# expect: runtime_error
# teeth: passes
"""A failure whose report is replaced."""

import os
import sys

sys.excepthook = lambda *_: os._exit(0)
print("2 3 5 7 11 13", flush=True)
raise ValueError("nobody will know")
