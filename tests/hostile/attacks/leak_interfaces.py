# property: nothing leaks in
# tests: none
# expect: accepted
# teeth: gets through
"""The names of the network's devices."""

import socket

try:
    names = [name for _, name in socket.if_nameindex()]
except OSError:
    names = []
if set(names) - {"lo"}:
    raise SystemExit("got through: %s" % names)
