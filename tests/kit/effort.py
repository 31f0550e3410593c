"""How many examples a property gets, where Hypothesis' own number is not the right one.

A number in `settings` wins over the profile, so that the inner loop would try as many as the full run.
"""

from __future__ import annotations

from hypothesis import settings

FULL = 100
"""Examples of the full profile."""


def tries(full: int) -> int:
    """`full` examples in the full run, and as large a share of them in `make unit` as every property gets there."""
    return max(5, full * settings.default.max_examples // FULL)
