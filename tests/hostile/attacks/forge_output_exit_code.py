# property: verdict cannot be forged
# tests: printed
# expect: runtime_error
"""The right output of a program that fails."""

print("2 3 5 7 11 13", flush=True)
raise ValueError("and yet it fails")
