# property: verdict cannot be forged
# tests: sort
# expect: wrong_answer
"""Empties its argument: what is expected must not lie in the same object."""

import gc


def sort(values):
    for holder in gc.get_referrers(values):
        if isinstance(holder, dict):
            for value in holder.values():
                if isinstance(value, list):
                    value.clear()
    values.clear()
    return values
