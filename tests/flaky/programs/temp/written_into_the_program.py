# flips to: runtime_error

import os

assert os.getcwd() == "/sandbox/box/work"
