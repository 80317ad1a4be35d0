# property: verdict cannot be forged
# tests: sort
# expect: wrong_answer | runtime_error
"""A list of lists of lists."""


def sort(values):
    for _ in range(100000):
        values = [values]
    return values
