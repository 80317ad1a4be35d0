# property: limits hold
# tests: none
# expect: time_limit | runtime_error
# limits: {"wall_s": 0.4}
"""An exception whose message has no end."""


class Hostile(Exception):
    def __str__(self):
        while True:
            pass


raise Hostile
