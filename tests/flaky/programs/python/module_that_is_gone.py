# until: 3.11
# flips to: runtime_error

import asyncore
