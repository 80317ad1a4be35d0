# property: verdict cannot be forged
# tests: secret
# expect: wrong_answer
"""Text that no encoding has, in a result, an exception and both streams."""

import os


def secret():
    os.write(1, b"\xff\xfe\x00\x1b[2J\r\n")
    os.write(2, b"\xed\xa0\x80" * 10)
    print("\u202e", flush=True)
    return "\ud800\udfff\x00\u202e"
