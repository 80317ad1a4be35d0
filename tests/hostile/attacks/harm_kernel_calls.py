# property: host unharmed
# tests: none
# expect: accepted
"""What only an administrator has a use for."""

import ctypes
import os

libc = ctypes.CDLL(None)
calls = {
    "x86_64": {
        "reboot": 169, "init_module": 175, "delete_module": 176, "kexec_load": 246, "bpf": 321,
        "perf_event_open": 298, "swapon": 167, "sethostname": 170, "settimeofday": 164,
        "quotactl": 179, "acct": 163, "iopl": 172, "vhangup": 153, "open_by_handle_at": 304,
        "fanotify_init": 300, "kcmp": 312, "clock_settime": 227, "modify_ldt": 154,
    },
}  # fmt: skip
for name, number in calls.get(os.uname().machine, {}).items():
    zero = ctypes.c_long(0)
    if libc.syscall(number, zero, zero, zero, zero, zero) >= 0:
        raise SystemExit("got through: " + name)
