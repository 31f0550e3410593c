"""Says at the end of a run which tools of the deployment took part: what was skipped proves nothing."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line, if any of them was asked for and was not there."""
    skipped = {
        str(report.longrepr[2])
        for report in terminalreporter.stats.get("skipped", [])
        if "tests/deploy/" in report.nodeid and isinstance(report.longrepr, tuple)
    }
    for reason in sorted(skipped):
        terminalreporter.write_line(f"deployment: {reason.removeprefix('Skipped: ')}")
