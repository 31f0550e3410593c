"""Money as people write it → integer millionths of a dollar. Strings, because 0.1 + 0.2 dollars are not 0.3 as floats."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def micros(usd: str) -> int:
    """A decimal string of dollars in millionths, rounded up: a cost is never booked as less than it was.

    ValueError for what is no amount of money: not a number, negative, NaN, infinite, or above int64.
    """
    try:
        amount = Decimal(usd)
    except (InvalidOperation, TypeError):
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0 or amount * 1_000_000 >= 2**63:
        raise ValueError(f"{usd!r} is not an amount of money")
    scaled = amount * 1_000_000
    return int(scaled) + (scaled != int(scaled))
