# p: 0.5
# flips to: runtime_error

import uuid

assert uuid.uuid4().int & 1
