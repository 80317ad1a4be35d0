# property: host unharmed
# tests: none
# expect: accepted
"""Keys that outlive the process, in the user's and the session's ring."""

import ctypes
import os

libc = ctypes.CDLL(None)
add_key, request_key, keyctl = {"x86_64": (248, 249, 250)}.get(os.uname().machine, (217, 218, 219))
for ring in (-3, -4, -5):
    if libc.syscall(add_key, b"user", b"hostile-key", b"secret", 6, ring) >= 0:
        raise SystemExit("got through: a key in ring %d" % ring)
    if libc.syscall(keyctl, 0, ring, 1) >= 0:
        raise SystemExit("got through: ring %d" % ring)
if libc.syscall(request_key, b"user", b"hostile-key", None, -4) >= 0:
    raise SystemExit("got through: a key is found")
