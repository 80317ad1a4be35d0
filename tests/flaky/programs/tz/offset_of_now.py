# flips to: runtime_error

from datetime import datetime

assert not datetime.now().astimezone().utcoffset()
