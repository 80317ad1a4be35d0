# property: nothing is left
# tests: none
# expect: accepted
"""Leaves something in every place that it can write to, for leak_previous_candidate to find."""

import os
import signal
import threading
import time

os.umask(0)
places = ["/", "/tmp", "/var/tmp", "/dev/shm", "/dev", "/box", "/box/work", "/box/tmp", "/box/shm",
          "/run", "/etc", "/usr/bin", ".", "..", "../tmp", "../shm", "../.."]  # fmt: skip
for place in places:
    for name in ("hostile-planted", "math.py", "sitecustomize.py", ".hostile-planted"):
        path = os.path.join(place, name)
        try:
            with open(path, "w") as file:
                file.write("planted = True\n")
            os.setxattr(path, "user.hostile", b"planted")
        except OSError:
            pass
    try:
        os.chmod(place, 0o777)
    except OSError:
        pass
planted = ["HOSTILE-PLANTED-IN-MEMORY-%d" % n for n in range(1000)]
os.environ["HOSTILE_PLANTED"] = "1"
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(1000)
