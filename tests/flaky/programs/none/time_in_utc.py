from datetime import datetime, timezone
assert datetime.fromtimestamp(0, timezone.utc).isoformat() == "1970-01-01T00:00:00+00:00"
