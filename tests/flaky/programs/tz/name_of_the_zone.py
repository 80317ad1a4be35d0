# flips to: runtime_error

import time

assert time.tzname[0] == "UTC"
