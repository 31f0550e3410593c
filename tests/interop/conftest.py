"""Says at the end of a run which foreign implementations took part: what is skipped proves nothing."""

from __future__ import annotations

import re
from functools import cache

import pytest

OTHERS = ("grpcio", "go", "node", "java")


@cache
def named(one: str) -> re.Pattern[str]:
    """The tests of one of them: a file of its own, or its turn among the programs."""
    return re.compile(rf"tests/interop/test_interop_(?:{one}\.py|programs\.py::\w+\[(?:.*-)?{one}(?:-.*)?\])")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for those that ran and one for those that did not, if any was asked for."""
    ran: set[str] = set()
    absent: set[str] = set()
    for outcome, found in (("passed", ran), ("failed", ran), ("skipped", absent)):
        for report in terminalreporter.stats.get(outcome, []):
            found.update(one for one in OTHERS if named(one).search(getattr(report, "nodeid", "")))
    if ran:
        terminalreporter.write_line(f"interoperability with: {', '.join(sorted(ran))}")
    if absent:
        names = ", ".join(sorted(absent))
        terminalreporter.write_line(f"interoperability NOT RUN, nothing is proved about: {names}", red=True)
