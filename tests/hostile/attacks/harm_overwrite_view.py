# property: host unharmed
# tests: none
# expect: accepted
"""Changes what the next candidate will run."""

import os
import sys


def look(path):
    """What a change would show in; a call that changes nothing may say that it did."""
    try:
        found = os.stat(path)
        return found.st_mode, found.st_uid, found.st_mtime_ns, os.listxattr(path)
    except (OSError, ValueError):
        return None


targets = [
    sys.executable,
    os.__file__,
    os.path.dirname(os.__file__),
    "/usr/bin",
    "/etc",
    "/",
    "/box",
]
targets += [module.__file__ for module in [*sys.modules.values()] if hasattr(module, "__file__")]
for target in targets:
    if not target or target == "solution.py":
        continue
    for what, call in (
        ("write", lambda: open(target, "r+b").close()),
        ("chmod", lambda: os.chmod(target, 0o1735)),
        ("rename", lambda: os.rename(target, target + ".old")),
        ("new file", lambda: open(os.path.join(target, "hostile-file"), "w").close()),
        ("xattr", lambda: os.setxattr(target, "user.hostile", b"1")),
        ("utime", lambda: os.utime(target)),
    ):
        before = look(target)
        try:
            call()
        except (OSError, ValueError):
            continue
        if what in ("chmod", "xattr", "utime") and look(target) == before:
            continue
        raise SystemExit("got through: %s of %s" % (what, target))
