# flips to: runtime_error

import threading

finished = []


def work(name):
    total = 0
    for number in range(6000):
        total += number % 7
    finished.append(name)


threads = [threading.Thread(target=work, args=(name,)) for name in "abcdef"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert finished == sorted(finished)
