# flips to: runtime_error

from datetime import date, datetime, timezone

now = datetime.now(timezone.utc)
local = datetime.now().replace(tzinfo=timezone.utc)
assert abs((local - now).total_seconds()) < 3600
