# property: limits hold
# tests: none
# expect: output_limit
"""Eight processes flood both streams at once."""

import os

for number in range(8):
    if os.fork() == 0:
        while True:
            os.write(1 + number % 2, b"x" * (1 << 16))
os.wait()
