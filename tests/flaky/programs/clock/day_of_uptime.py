# flips to: runtime_error

import time

# Nobody has said where this clock begins.
assert int(time.monotonic() // 86400) % 2 == 0
