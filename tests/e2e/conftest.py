"""Says at the end of a run which examples took part, and which lack their toolchain: what is skipped proves nothing."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for those that ran and one for those that did not, if any was asked for."""
    ran: dict[str, str] = {}
    absent: dict[str, str] = {}
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, "user_properties", []):
                if name == "example":
                    ran[value] = outcome
                elif name == "absent example":
                    absent[value] = outcome
    if ran:
        terminalreporter.write_line(f"examples that ran: {', '.join(f'{name} {how}' for name, how in sorted(ran.items()))}")
    if absent:
        terminalreporter.write_line(f"examples NOT RUN, nothing is proved about them: {', '.join(sorted(absent))}", red=True)
