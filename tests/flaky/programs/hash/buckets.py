# flips to: runtime_error

# A hash table with a fixed number of places, and no plan for when two want the same.
table = [None] * 16
for key in ("ant", "bee", "cat", "dog", "eel"):
    assert table[hash(key) % 16] is None
    table[hash(key) % 16] = key
