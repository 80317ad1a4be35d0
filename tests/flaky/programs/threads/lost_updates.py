# flips to: runtime_error

import threading

total = 0


def same(number):
    return number


def add():
    global total
    for _ in range(3000):
        before = total
        total = same(before) + 1


threads = [threading.Thread(target=add) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert total == 12000
