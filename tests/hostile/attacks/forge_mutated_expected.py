# property: verdict cannot be forged
# tests: {"kind": "assertions", "code": "EXPECTED = [1, 2, 3]\nINPUT = [3, 1, 2]\n", "cases": ["assert sort(INPUT) == EXPECTED"], "entry_point": "sort"}
# expect: wrong_answer
# teeth: passes
"""Changes what is expected to what it returns."""

import sys


def sort(values):
    frame = sys._getframe()
    while frame is not None:
        if "EXPECTED" in frame.f_globals:
            frame.f_globals["EXPECTED"].clear()
        frame = frame.f_back
    return []
