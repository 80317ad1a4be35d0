# flips to: runtime_error

import tempfile

assert tempfile.gettempdir() == "/tmp"
