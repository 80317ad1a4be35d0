# flips to: runtime_error

import locale

locale.setlocale(locale.LC_ALL, "")
assert locale.setlocale(locale.LC_NUMERIC) in ("C", "POSIX")
