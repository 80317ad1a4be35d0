# property: limits hold
# tests: sort
# expect: wrong_answer | time_limit | memory_limit | runtime_error
# limits: {"wall_s": 1}
# probe: memory_bounded
"""A result that is much larger written down than in memory."""


def sort(values):
    row = [[] for _ in range(1000)]
    return [row] * 20000
