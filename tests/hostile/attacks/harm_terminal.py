# property: host unharmed
# tests: none
# expect: accepted
"""Types commands into the terminal of whoever started the sandbox."""

import fcntl

for handle in range(256):
    for request in (0x5412, 0x541C, 0x540E):
        try:
            fcntl.ioctl(handle, request, b"x")
        except OSError:
            continue
        raise SystemExit("got through: descriptor %d is a terminal" % handle)
