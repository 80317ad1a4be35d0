# property: nothing leaks in
# tests: none
# expect: accepted
# limits: {"wall_s": 8}
# teeth: gets through
"""Walks from the root and reads whatever has a telling name."""

import os

telling = (".env", "id_rsa", "id_ed25519", ".netrc", ".pgpass", "credentials", ".git-credentials",
           "docker.sock", "authorized_keys", ".bash_history", "results.parquet")  # fmt: skip
for place, directories, files in os.walk("/"):
    if place == "/":
        directories[:] = [d for d in directories if d not in ("usr", "lib", "bin", "proc", "sys")]
    for name in files:
        if name in telling:
            try:
                open(os.path.join(place, name), "rb").read(1)
            except OSError:
                continue
            raise SystemExit("got through: " + os.path.join(place, name))
