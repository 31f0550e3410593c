from __future__ import annotations

from math import inf, nan

import pytest

from fanmesh.model.times import nanoseconds


@pytest.mark.parametrize(("given", "expected"), [(None, None), (inf, None), (0, 0), (0.3, 300_000_000), (1.5, 1_500_000_000)])
def test_seconds_become_nanoseconds_and_no_limit_stays_none(given: float | None, expected: int | None) -> None:
    """Infinity is no limit."""
    assert nanoseconds("timeout", given) == expected


@pytest.mark.parametrize("given", [nan, -1.0, -inf])
def test_what_is_no_time_is_refused_by_name(given: float) -> None:
    """The message says which argument."""
    with pytest.raises(ValueError, match="timeout: "):
        nanoseconds("timeout", given)
