import os

assert os.environ.get("NOT_GIVEN", "default") == "default"
