import time

started = time.monotonic()
time.sleep(0.01)
assert time.monotonic() - started >= 0.01
