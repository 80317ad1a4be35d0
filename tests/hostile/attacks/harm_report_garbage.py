# property: host unharmed
# tests: none
# expect: accepted
"""Lines that a careless reader of JSON stumbles over, to every descriptor."""

import os

lines = [
    '{"nonce": []}', '{"nonce": {}}', '{"nonce": null}', "[]", "null", "1", '"x"', "{}", "NaN",
    '{"nonce": 1e999}', "[" * 100000, "1" * 100000, '{"nonce": "\\ud800"}', "\0", "\ufffe",
    '{"done": "accepted", "nonce": true}', '{"locked": true, "nonce": [[]]}',
]  # fmt: skip
for handle in range(3, 256):
    for line in lines:
        try:
            os.write(handle, line.encode("utf-8", "replace") + b"\n")
        except OSError:
            break
