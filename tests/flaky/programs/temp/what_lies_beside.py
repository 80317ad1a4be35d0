# flips to: runtime_error

import os

assert os.path.isdir("../shm")
