"""The subjects of the suite, and the table at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# The driver of a real agent is that of the sandbox's own tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sandbox"))

from subjects import IN_CI, SUBJECTS, Book, Started, Subject, Unavailable, opened
from table import render

BOOK = pytest.StashKey[Book]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BOOK] = Book()


@pytest.fixture(scope="session", params=list(SUBJECTS))
def subject(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[Subject]:
    """Each runtime in turn; where one is missing its tests are skipped, but not in CI."""
    book = pytestconfig.stash[BOOK]
    name = request.param
    try:
        with opened(SUBJECTS[name]) as found:
            book.subjects[name] = found.reason
            yield found
            book.subjects[name] = f"{found.reason}; isolation {found.level}"
    except Unavailable as error:
        book.subjects[name] = f"not here: {error}"
        if os.environ.get("CI") == "true" and name in IN_CI:
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def started(subject: Subject) -> Iterator[Started]:
    """An agent of two slots, for all tests that only ask it something."""
    running = subject.start(subject.spec(slots=2))
    yield running
    running.agent.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report: pytest.TestReport = yield
    parameters = getattr(item, "callspec", None)
    if parameters is None or "subject" not in parameters.params:
        return report
    check = item.name.partition("[")[0].removeprefix("test_")
    cells = item.config.stash[BOOK].outcomes.setdefault(check, {})
    name = parameters.params["subject"]
    before = cells.get(name)
    if report.failed:
        cells[name] = "FAILED"
    elif report.skipped:
        cells[name] = {"ok": "partly", None: "skipped"}.get(before, str(before))
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        item.config.stash[BOOK].reasons[f"{check}, {name}"] = str(reason)
    elif report.when == "call":
        cells[name] = {"skipped": "partly", None: "ok"}.get(before, str(before))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = render(config.stash[BOOK])
    if lines:
        terminalreporter.section("conformance")
        for line in lines:
            terminalreporter.write_line(line)
