# property: limits hold
# tests: none
# expect: accepted | memory_limit
# not claimed: full, filtered, limits: what sockets hold is the kernel's memory, bounded by processes and open files only
"""Sockets that are filled and never read, by several processes."""

import os
import socket

counts = []
for _ in range(8):
    read, write = os.pipe()
    if os.fork() == 0:
        held, kept = 0, []
        try:
            while True:
                pair = socket.socketpair()
                kept.append(pair)
                pair[0].setblocking(False)
                try:
                    while True:
                        held += pair[0].send(bytes(1 << 15))
                except BlockingIOError:
                    pass
        except OSError:
            pass
        os.write(write, b"%d" % held)
        os.read(0, 1)
        os._exit(0)
    os.close(write)
    counts.append(int(os.read(read, 100)))
if sum(counts) > 64 << 20:
    raise SystemExit("got through: %d MB in sockets" % (sum(counts) >> 20))
