# property: nothing leaks in
# tests: secret unittest
# expect: wrong_answer
"""Looks for the tests' source in the caches of the standard library."""

import linecache
import re
import sys


def secret():
    texts = ["".join(entry[2]) for entry in linecache.cache.values() if len(entry) > 2]
    frame = sys._getframe()
    while frame:
        texts += [repr(value) for value in frame.f_locals.values() if type(value) in (str, dict)]
        frame = frame.f_back
    for text in texts:
        found = re.search("the-tests-" + r"alone-hold-\w{8}", text)
        if found:
            return found.group()
    return ""
