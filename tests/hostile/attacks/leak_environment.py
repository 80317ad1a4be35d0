# property: nothing leaks in
# tests: none
# expect: accepted
# env: {"GIVEN": "yes"}
# teeth: gets through
"""Environment variables: those that are set, and those that the stack still holds."""

import ctypes
import os

libc = ctypes.CDLL(None)
secret = "_".join(["HOSTILE", "TESTS", "SECRET"])
if secret in os.environ or libc.getenv(secret.encode()):
    raise SystemExit("got through: a variable of the host")
# What rounds perturb is the sandbox's own to say.
PERTURBED = {"TZ", "LANG", "TMPDIR", "PYTHONHASHSEED"}
if set(os.environ) - {"GIVEN", "LC_CTYPE"} - PERTURBED:
    raise SystemExit("got through: %s" % sorted(os.environ))
start = ctypes.c_void_p.in_dll(libc, "program_invocation_name").value
read, write = os.pipe()
for offset in range(0, 1 << 16, 512):
    # The kernel says whether memory is there; looking at it would be fatal where it isn't.
    if libc.write(write, ctypes.c_void_p(start + offset), 512) != 512:
        break
    if secret.encode() in os.read(read, 512):
        raise SystemExit("got through: a variable of the host, on the stack")
