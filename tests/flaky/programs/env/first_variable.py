# flips to: runtime_error
# env: {"APP_A": "1", "APP_B": "2", "APP_C": "3", "APP_D": "4", "APP_E": "5"}

import os

assert [name for name in os.environ if name.startswith("APP_")][0] == "APP_A"
