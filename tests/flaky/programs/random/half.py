# p: 0.5
# flips to: runtime_error

import random

assert random.random() >= 0.5
