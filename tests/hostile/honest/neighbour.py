# tests: add calls
"""Uses what a program may use: files, threads, processes, memory."""

import subprocess
import tempfile
import threading

with tempfile.NamedTemporaryFile() as file:
    file.write(bytes(1 << 20))
with open("mine", "w") as file:
    file.write("x")
results = []
threads = [threading.Thread(target=results.append, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert sorted(results) == list(range(8))
assert len(bytearray(16 << 20)) == 16 << 20
assert subprocess.run(["/bin/true"]).returncode == 0


def add(a, b):
    return a + b
