# flips to: runtime_error

import os

assert len(os.sched_getaffinity(0)) > 1
