import threading

lock, total = threading.Lock(), 0


def add():
    global total
    for _ in range(2000):
        with lock:
            total = total + int(True)


threads = [threading.Thread(target=add) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert total == 8000
