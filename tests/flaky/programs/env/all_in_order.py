# flips to: runtime_error
# env: {"APP_A": "1", "APP_B": "2", "APP_C": "3", "APP_D": "4", "APP_E": "5"}

import os

given = [value for name, value in os.environ.items() if name.startswith("APP_")]
assert given == sorted(given)
