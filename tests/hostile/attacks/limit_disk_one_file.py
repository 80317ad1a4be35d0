# property: limits hold
# tests: none
# expect: accepted
# limits: {"file_bytes": 8388608}
"""One file of a gigabyte."""

written = 0
try:
    with open("hostile-file", "wb", buffering=0) as file:
        while written < 1 << 30:
            written += file.write(bytes(1 << 20))
except OSError:
    pass
if written > 8 << 20:
    raise SystemExit("got through: %d MB in one file" % (written >> 20))
