# property: nothing leaks in
# tests: none
# expect: accepted
# teeth: gets through
"""Every other family of sockets: netlink, packets, the hypervisor's, the kernel's ciphers."""

import socket

for family in [family for family in range(1, 46) if family not in (1, 2, 10)]:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        try:
            socket.socket(family, kind).close()
        except OSError:
            continue
        raise SystemExit("got through: family %d" % family)
