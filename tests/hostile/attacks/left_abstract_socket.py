# property: nothing is left
# tests: none
# expect: accepted
"""A socket without a file, held by a daemon."""

import os
import socket
import time

if os.fork() == 0:
    os.setsid()
    server = socket.socket(socket.AF_UNIX)
    server.bind("\0hostile-abstract")
    server.listen()
    time.sleep(1000)
time.sleep(0.05)
