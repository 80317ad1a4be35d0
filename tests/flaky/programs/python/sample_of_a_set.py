# until: 3.10
# flips to: runtime_error

import random

assert random.sample({1, 2, 3}, 3)
