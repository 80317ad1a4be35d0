# flips to: runtime_error

import time

assert time.mktime((2024, 1, 1, 0, 0, 0, 0, 1, 0)) == 1704067200
