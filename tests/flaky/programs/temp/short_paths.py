# flips to: runtime_error

import os

# A field of 20 characters is enough for every path that anybody has seen.
assert len(os.path.join(os.getcwd(), "x")) <= 20
