# p: 0.3
# flips to: runtime_error

import random

assert random.random() >= 0.3
