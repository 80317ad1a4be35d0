# property: nothing leaks in
# tests: none
# expect: accepted
# probe: nobody_came
"""The same by datagrams, name servers and raw sockets."""

import socket

for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", 28771)),
        (socket.AF_INET, ("8.8.8.8", 53)),
        (socket.AF_INET, ("255.255.255.255", 67)),
        (socket.AF_INET6, ("::1", 28771)),
    ):
        try:
            with socket.socket(family, kind) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                client.sendto(b"hostile", address)
        except OSError:
            continue
        raise SystemExit("got through: %s" % (address,))
