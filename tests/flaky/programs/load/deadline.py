# flips to: runtime_error

import time


def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


started = time.perf_counter()
work(0.2)
assert time.perf_counter() - started < 0.28
