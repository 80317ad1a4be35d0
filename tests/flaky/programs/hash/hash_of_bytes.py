# flips to: runtime_error

assert hash(b'key') % 2 == 0
