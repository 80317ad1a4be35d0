# property: verdict cannot be forged
# tests: sum of two
# expect: wrong_answer
# teeth: passes
"""Says nothing, and ends well."""
