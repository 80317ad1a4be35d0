# property: verdict cannot be forged
# tests: add calls
# expect: wrong_answer
"""A thread that goes on rewriting whatever the tests might compare."""

import gc
import threading
import time


def rewrite():
    while True:
        for item in gc.get_objects():
            if type(item) is dict and "expected" in item and item["expected"] != 0:
                item["expected"] = 0
        time.sleep(0.001)


threading.Thread(target=rewrite, daemon=True).start()


def add(a, b):
    time.sleep(0.01)
    return 0
