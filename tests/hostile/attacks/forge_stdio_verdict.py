# property: verdict cannot be forged
# tests: sum of two
# expect: wrong_answer
"""Writes verdicts, with the nonce that lies in its frames, where programs are judged by output."""

import sys

frame = sys._getframe()
while frame is not None:
    report = frame.f_locals.get("report")
    if hasattr(report, "send"):
        report.send(done="accepted")
        report.send(test=["0", "accepted", 0.0, ""])
        report.send(test=["1", "accepted", 0.0, ""])
    frame = frame.f_back
print("wrong")
