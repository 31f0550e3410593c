"""The kinds of value that only policies have: status codes by name, quantiles of latency, sizes of a whole process.

Apart from quantities.py, which knows numbers with a unit and nothing of what they are for.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from dispatcher.config.problems import Wrong, near, shown
from dispatcher.config.quantities import DURATION_PATTERN, parse_positive_duration
from fanmesh.model.fault import Code

FAILURES: Final = tuple(code.name for code in Code if code is not Code.OK)
"""What a call may fail with."""

AFTER_PATTERN: Final = rf"^p[5-9][0-9](\.[0-9])?$|{DURATION_PATTERN}"
_QUANTILE: Final = re.compile(r"p[5-9][0-9](\.[0-9])?", re.ASCII)
_AFTER: Final = "a quantile from p50 to p99.9, or a duration such as 20ms"


def parse_code(value: object) -> Code:
    """The gRPC name of a failure → its code. Raises Wrong, for OK too."""
    if isinstance(value, str) and value in FAILURES:
        return Code[value]
    if value == "OK":
        raise Wrong("OK is no failure", "UNAVAILABLE, or another gRPC code")
    meant = near(value.upper(), FAILURES) if isinstance(value, str) else ""
    raise Wrong(f"{shown(value)} is no gRPC code{meant}", "UNAVAILABLE, or another gRPC code")


def parse_after(value: object) -> float | int:
    """When to hedge: `p95` → 0.95, a quantile as a float; `20ms` → ns, a fixed wait as an int. Raises Wrong."""
    if isinstance(value, str) and _QUANTILE.fullmatch(value):
        return float(Decimal(value[1:]) / 100)
    if isinstance(value, str) and value.startswith("p"):
        raise Wrong(f"{shown(value)} is no quantile that can be hedged by", _AFTER)
    if isinstance(value, str):
        return parse_positive_duration(value)
    raise Wrong(f"{shown(value)} is neither a quantile nor a duration", _AFTER)
