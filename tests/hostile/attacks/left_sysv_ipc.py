# property: nothing is left
# tests: none
# expect: accepted
# teeth: gets through
"""Shared memory, semaphores and queues that outlive their makers."""

import ctypes

libc = ctypes.CDLL(None)
KEY, CREATE = 0x7057113, 0o1666
for what, made in (
    ("shared memory", libc.shmget(KEY, 4096, CREATE)),
    ("semaphores", libc.semget(KEY, 1, CREATE)),
    ("a queue", libc.msgget(KEY, CREATE)),
):
    if made >= 0:
        libc.shmctl(made, 0, None)
        libc.semctl(made, 0, 0)
        libc.msgctl(made, 0, None)
        raise SystemExit("got through: " + what)
