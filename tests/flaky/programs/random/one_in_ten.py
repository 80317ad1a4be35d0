# p: 0.1
# flips to: runtime_error

import random

assert random.randrange(10)
