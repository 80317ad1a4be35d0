"""The parts of the test double ``tests/bin/sarus``; standard library only, Python 3.9 and newer."""
