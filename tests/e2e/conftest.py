"""Says at the end of a run which callers in other languages took part: a skipped one proves nothing."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line, if any of them was asked."""
    outcomes = {
        value: outcome
        for outcome in ("passed", "failed", "skipped")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in getattr(report, "user_properties", [])
        if name == "foreign client"
    }
    if outcomes:
        told = ", ".join(f"{language} {outcome}" for language, outcome in sorted(outcomes.items()))
        terminalreporter.write_line(f"callers in other languages: {told}")
