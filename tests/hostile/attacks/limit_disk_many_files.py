# property: limits hold
# tests: none
# expect: accepted
# limits: {"file_bytes": 8388608}
# not claimed: filtered, limits: without a mount namespace the size of one file is limited, not of all
"""Many files that are small enough each."""

written = 0
try:
    for number in range(40):
        with open("hostile-%d" % number, "wb", buffering=0) as file:
            written += file.write(bytes(1 << 20))
except OSError:
    pass
if written > 9 << 20:
    raise SystemExit("got through: %d MB in many files" % (written >> 20))
