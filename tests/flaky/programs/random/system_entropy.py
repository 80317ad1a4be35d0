# p: 0.5
# flips to: runtime_error

import os

assert os.urandom(1)[0] < 128
