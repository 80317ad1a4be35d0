# property: limits hold
# tests: none
# expect: accepted
# teeth: gets through
"""Every limit, up."""

import resource

for name in ("CORE", "AS", "CPU", "FSIZE", "NOFILE", "NPROC", "MEMLOCK", "STACK", "DATA"):
    number = getattr(resource, "RLIMIT_" + name)
    soft, hard = resource.getrlimit(number)
    if hard == resource.RLIM_INFINITY:
        if name not in ("STACK", "DATA"):
            raise SystemExit("got through: no limit on %s" % name)
        continue
    for more in (hard + 1, 2 * hard + 4096, resource.RLIM_INFINITY):
        try:
            resource.setrlimit(number, (more, more))
        except (ValueError, OSError):
            continue
        raise SystemExit("got through: %s raised" % name)
