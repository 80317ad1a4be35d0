# property: host unharmed
# tests: none
# expect: accepted
"""rm -rf /"""

import os
import shutil

for place in (".", "..", "../..", "/box", "/tmp", "/dev", "/etc"):
    shutil.rmtree(place, ignore_errors=True)
if not os.path.exists("/usr/bin"):
    raise SystemExit("got through: /usr/bin is gone")
