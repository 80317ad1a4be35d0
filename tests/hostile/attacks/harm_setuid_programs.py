# property: host unharmed
# tests: none
# expect: accepted
"""Programs that run as root for everybody."""

import glob
import os
import stat
import subprocess

for number in (0, 65534):
    if number == os.getuid():
        continue
    for call in (os.setuid, os.setgid, lambda n: os.setgroups([n])):
        try:
            call(number)
        except OSError:
            continue
        raise SystemExit("got through: another identity")
found = [p for p in glob.glob("/usr/bin/*") if os.lstat(p).st_mode & stat.S_ISUID]
for path, arguments in (("su", ("-c", "id -u")), ("sudo", ("-n", "id", "-u")), ("ping", ("-V",))):
    program = "/usr/bin/" + path
    if program not in found:
        continue
    done = subprocess.run(
        [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.stdout.strip() == "0":
        raise SystemExit("got through: root by %s" % path)
if os.access("/usr/bin/python3", os.W_OK):
    raise SystemExit("got through: the interpreter can be written")
