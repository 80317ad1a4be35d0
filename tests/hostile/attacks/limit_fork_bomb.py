# property: limits hold
# tests: none
# expect: time_limit
# limits: {"wall_s": 0.5}
"""Every process forks for ever."""

import os

while True:
    try:
        os.fork()
    except OSError:
        pass
