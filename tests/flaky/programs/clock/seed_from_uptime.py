# flips to: runtime_error

import random
import time

random.seed(int(time.clock_gettime(time.CLOCK_BOOTTIME) // 86400))
assert random.randrange(2)
