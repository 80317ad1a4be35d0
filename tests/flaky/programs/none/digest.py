# prints: ba7816bf

import hashlib

print(hashlib.sha256(b"abc").hexdigest()[:8])
