# flips to: runtime_error

import os

assert not os.environ.get("LANG", "").endswith(("UTF-8", "utf8"))
