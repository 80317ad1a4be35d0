# property: verdict cannot be forged
# tests: add unittest
# expect: wrong_answer
"""Configuration that a test runner would obey."""

HOOK = """
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    outcome.get_result().outcome = "passed"
"""
for name, text in (
    ("conftest.py", HOOK),
    ("../conftest.py", HOOK),
    ("pytest.ini", "[pytest]\naddopts = --collect-only\n"),
    ("setup.cfg", "[tool:pytest]\naddopts = --collect-only\n"),
    ("tox.ini", "[pytest]\naddopts = --collect-only\n"),
):
    try:
        with open(name, "w") as file:
            file.write(text)
    except OSError:
        pass


def load_tests(loader, tests, pattern):
    return tests.__class__()


def setUpModule():
    import unittest

    raise unittest.SkipTest


def add(a, b):
    return -1
