# since: 3.12
# flips to: runtime_error

import sys

assert sys.version_info >= (3, 12)
