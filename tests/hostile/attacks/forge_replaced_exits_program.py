# property: verdict cannot be forged
# tests: printed
# expect: wrong_answer | runtime_error
"""The same where the program's end is its verdict."""

import os
import sys

sys.exit = os._exit = os.abort = lambda *_: None
print("nothing of the kind")
