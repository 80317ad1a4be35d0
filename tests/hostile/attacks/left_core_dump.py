# property: nothing is left
# tests: none
# expect: runtime_error
"""Dies as loudly as it can."""

import os
import resource

try:
    resource.setrlimit(resource.RLIMIT_CORE, (-1, -1))
except (ValueError, OSError):
    pass
os.abort()
