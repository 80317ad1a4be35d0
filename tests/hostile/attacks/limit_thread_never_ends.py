# property: limits hold
# tests: none
# expect: time_limit
# limits: {"wall_s": 0.4}
"""The main thread ends, another one doesn't."""

import threading
import time

threading.Thread(target=lambda: time.sleep(1000)).start()
