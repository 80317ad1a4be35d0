# property: host unharmed
# tests: none
# expect: accepted
"""Takes away the memory of whoever else there is."""

import os
import resource

for victim in {1, os.getppid(), *range(2, 400)} - {0, os.getpid()}:
    try:
        resource.prlimit(victim, resource.RLIMIT_AS, resource.getrlimit(resource.RLIMIT_AS))
    except (OSError, ValueError):
        continue
    raise SystemExit("got through: the limits of %d" % victim)
