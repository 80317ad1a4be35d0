# flips to: runtime_error

import os

chunks = len(os.sched_getaffinity(0)) // 2
assert 100 // chunks
