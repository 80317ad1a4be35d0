# property: verdict cannot be forged
# tests: {"kind": "stdio", "checker": "floats", "cases": [{"stdin": "", "stdout": "3.5 4.5\n"}]}
# expect: wrong_answer
"""Numbers that are close to everything, perhaps."""

print("nan inf")
