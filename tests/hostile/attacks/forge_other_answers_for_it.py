# property: nothing is left
# tests: add
# expect: wrong_answer | early_exit
"""Ends, while a child of its child goes on talking to the judge."""

import json
import os
import struct
import time

if os.fork() == 0:
    os.setsid()
    while True:
        data = json.dumps({"value": 6, "names": {"add": ["function"]}}).encode()
        os.write(5, struct.pack("=I", len(data)) + data)
        time.sleep(0.001)
os._exit(0)
