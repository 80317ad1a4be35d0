# flips to: runtime_error

import time


def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


import threading

late = threading.Event()
timer = threading.Timer(0.3, late.set)
timer.start()
work(0.22)
timer.cancel()
assert not late.is_set()
