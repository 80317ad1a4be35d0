# flips to: runtime_error

import threading

made = {}
twice = []


def slow(number):
    for _ in range(100):
        number += 1
    return number


def make():
    for key in range(400):
        if key not in made:
            value = slow(key)
            if key in made:
                twice.append(key)
            made[key] = value


threads = [threading.Thread(target=make) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not twice
