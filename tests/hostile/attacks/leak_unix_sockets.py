# property: nothing leaks in
# tests: none
# expect: accepted
# probe: nobody_came
"""Servers of the host that listen on a file or a name."""

import socket

for address in (
    "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock",
    "/run/systemd/private", "/run/dbus/system_bus_socket", "/run/munge/munge.socket.2",
    "/tmp/.X11-unix/X0", "\0the-host-of-hostile-tests", "\0/tmp/.X11-unix/X0", "/dev/log",
):  # fmt: skip
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        try:
            with socket.socket(socket.AF_UNIX, kind) as client:
                client.connect(address)
        except OSError:
            continue
        raise SystemExit("got through: %r" % address)
