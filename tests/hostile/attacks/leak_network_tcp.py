# property: nothing leaks in
# tests: none
# expect: accepted
# probe: nobody_came
"""The host's loopback, the network, and the world, by TCP."""

import socket

for family, address in (
    (socket.AF_INET, ("127.0.0.1", 28771)),
    (socket.AF_INET, ("127.0.0.1", 22)),
    (socket.AF_INET, ("169.254.169.254", 80)),
    (socket.AF_INET, ("10.0.0.1", 80)),
    (socket.AF_INET, ("1.1.1.1", 53)),
    (socket.AF_INET6, ("::1", 28771)),
    (socket.AF_INET6, ("2606:4700:4700::1111", 53)),
):
    try:
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(0.2)
            client.connect(address)
    except OSError:
        continue
    raise SystemExit("got through: %s" % (address,))
