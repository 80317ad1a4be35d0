# flips to: runtime_error

from datetime import datetime

assert datetime.fromtimestamp(86400).hour == 0
