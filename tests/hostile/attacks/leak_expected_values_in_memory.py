# property: nothing leaks in
# tests: secret calls
# expect: wrong_answer
"""Walks every object for what a call should return."""

import gc


def secret():
    todo, seen = list(gc.get_objects()), set()
    while todo:
        item = todo.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if type(item) is str and item.startswith("the-tests-" + "alone") and len(item) == 29:
            return item
        if isinstance(item, (dict, list, tuple)) and len(seen) < 200000:
            todo += gc.get_referents(item)
    return ""
