# flips to: runtime_error

assert hash('some text') % 2 == 0
