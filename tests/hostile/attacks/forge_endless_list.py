# property: limits hold
# tests: sort
# expect: wrong_answer | time_limit | memory_limit | runtime_error
# limits: {"wall_s": 0.6}
# probe: memory_bounded
"""A list that always has one more item."""


class Endless(list):
    def __iter__(self):
        while True:
            yield 1


def sort(values):
    return Endless([1])
