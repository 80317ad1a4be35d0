# property: verdict cannot be forged
# tests: add with imports
# expect: wrong_answer
# teeth: passes
"""Files with the names of the modules that the tests import, wherever Python might look."""

import os
import sys

FAKE = "import os\nos._exit(0)\n"
for place in (".", "..", "../tmp", "/tmp", os.path.expanduser("~"), *sys.path):
    for name in ("math", "statistics", "decimal", "unittest", "random", "string", "tests"):
        try:
            with open(os.path.join(place, name + ".py"), "w") as file:
                file.write(FAKE)
        except OSError:
            pass
sys.path.insert(0, os.getcwd())
for name in ("math", "statistics", "decimal", "random", "string"):
    sys.modules.pop(name, None)
os.environ["PYTHONPATH"] = os.getcwd()


def add(a, b):
    return -1
