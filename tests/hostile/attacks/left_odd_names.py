# property: nothing is left
# tests: none
# expect: accepted
"""Names that are not text, are options, or are as long as a name can be."""

import os
import socket

for name in (b"\xff\xfe", b"-rf", b"a\nb", b"x" * 255, b"$(reboot)", b" ", b"\x1b[2J"):
    os.mkdir(name)
    open(os.path.join(name, name), "w").close()
os.mkfifo("hostile-fifo")
try:
    socket.socket(socket.AF_UNIX).bind("hostile-socket")
except OSError:
    pass
