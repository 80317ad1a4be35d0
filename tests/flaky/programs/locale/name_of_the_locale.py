# flips to: runtime_error

import locale

assert locale.setlocale(locale.LC_ALL, "") == "C"
