"""Scripts of the Lab: what they cannot mean is refused where it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fanmesh.model.fault import Code
from fanmesh.testing import Script, computes, ends, fails, ms, rubbish, streams


@pytest.mark.parametrize(
    ("script", "name"),
    [
        (lambda ns: ends(1, after=ns), "after"),
        (lambda ns: computes(str, after=ns), "after"),
        (lambda ns: fails(after=ns), "after"),
        (lambda ns: rubbish(after=ns), "after"),
        (lambda ns: streams([1], every=ns), "every"),
    ],
)
def test_times_are_whole_nanoseconds(script: Callable[[Any], Script], name: str) -> None:
    """0.08 would be no time at all: it is refused, and `ms` is named."""
    for wrong in (0.08, 80.0, "80ms"):
        with pytest.raises(TypeError, match=rf"^{name}: {wrong!r} is not a whole number of nanoseconds: write {name}=ms\(80\)"):
            script(wrong)
    assert f"{name}={ms(80)}" in repr(script(ms(80)))


def test_a_code_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    """And with the one that was probably meant; OK is no failure."""
    with pytest.raises(ValueError, match=r"^'NOT_FOND' is no failure \(did you mean 'NOT_FOUND'\?\); there are CANCELLED, "):
        fails("NOT_FOND")
    for wrong in ("OK", "nonsense", Code.OK):
        with pytest.raises(ValueError, match="is no failure; there are CANCELLED, "):
            fails(wrong)
    assert repr(fails("NOT_FOUND")) == repr(fails(Code.NOT_FOUND))
