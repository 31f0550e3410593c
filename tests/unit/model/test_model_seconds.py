from __future__ import annotations

from math import inf, nan
from typing import Any

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


@pytest.mark.parametrize("given", ["1s", "1.5", b"1", [1]])
def test_what_is_no_number_is_refused_by_name(given: Any) -> None:
    """The message says which argument, and what would be right."""
    with pytest.raises(TypeError, match=r"timeout: .* is not a number of seconds, such as 1\.5"):
        nanoseconds("timeout", given)
