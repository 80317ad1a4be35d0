# flips to: runtime_error

import time


def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


started, before = time.perf_counter(), time.process_time()
work(0.15)
share = (time.process_time() - before) / (time.perf_counter() - started)
assert share > 0.75
