# property: verdict cannot be forged
# tests: sort
# expect: wrong_answer | runtime_error
"""A list that contains itself."""


def sort(values):
    values[:] = [values, values]
    return values
