# property: limits hold
# tests: none
# expect: memory_limit
# probe: memory_bounded
"""A list that grows for ever."""

hog = []
while True:
    hog.append(bytearray(b"x") * (8 << 20))
