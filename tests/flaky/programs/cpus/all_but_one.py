# flips to: runtime_error

import os
from concurrent.futures import ThreadPoolExecutor

with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0)) - 1) as pool:
    assert list(pool.map(abs, [-1])) == [1]
