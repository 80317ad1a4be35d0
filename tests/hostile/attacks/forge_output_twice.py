# property: verdict cannot be forged
# tests: printed
# expect: wrong_answer
"""Prints every answer that there could be."""

for number in range(20):
    print(*range(number))
