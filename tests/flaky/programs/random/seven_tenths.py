# p: 0.7
# flips to: runtime_error

import random

assert random.random() >= 0.7
