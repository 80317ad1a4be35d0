# property: limits hold
# tests: none
# expect: runtime_error | memory_limit | time_limit
"""Source that the compiler itself does not survive."""

text = "-" * 200000 + "1"
compile(text, "hostile", "eval")
