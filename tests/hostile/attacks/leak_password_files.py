# property: nothing leaks in
# tests: none
# expect: accepted
# teeth: gets through
"""The users of this machine, and what keeps them out."""

import os

for path in ("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/etc/machine-id"):
    if os.access(path, os.R_OK):
        try:
            os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
        except OSError:
            continue
        raise SystemExit("got through: " + path)
try:
    users = open("/etc/passwd").read()
except OSError:
    users = ""
if "root:" in users:
    raise SystemExit("got through: /etc/passwd")
