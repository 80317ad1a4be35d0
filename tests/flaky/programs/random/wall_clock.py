# p: 0.5
# flips to: runtime_error

import time

assert time.time_ns() // 1000 % 2
