"""Predicates: what they read, what is handed to them, and that each text is compiled once."""

from __future__ import annotations

import pytest

from fanmesh.expr import ExprError, compile_predicate, evaluator
from fanmesh.expr.predicate import KEPT
from fanmesh.model.completion import Predicate
from fanmesh.model.values import Opaque, Value


def says(source: str, merged: Value, coverage: float = 0.5, **attributes: str) -> bool | None:
    """What the predicate says of this."""
    return evaluator(Predicate(source, tuple(attributes)), attributes)(lambda: merged, coverage)


@pytest.mark.parametrize(
    ("source", "merged", "expected"),
    [
        ("size(merged) > 1", [1, 2], True),
        ("merged.hits.exists(h, h.score > 0.9)", {"hits": [{"score": 0.95}]}, True),
        ("merged == null", None, True),
        ("coverage >= 0.5", None, True),
        ("coverage == 1.0", None, False),
        ('attributes.mode == "fast"', None, True),
        ("merged.missing", {}, None),
        ("merged", "true", None),
        ("1 / int(merged) > 0", 0, None),
        ("merged.x > 1", Opaque("image/png", b"...", is_message=False), None),
        ("coverage > 0.1", Opaque("image/png", b"...", is_message=False), True),
    ],
)
def test_what_it_says(source: str, merged: Value, expected: bool | None) -> None:  # noqa: FBT001  (a row of the table)
    """True or false; None for what cannot be evaluated: an error, no bool, or a value that has no fields."""
    assert says(source, merged, mode="fast") is expected


def test_a_value_that_is_not_read_is_not_asked_for() -> None:
    """Merging is work."""
    assert evaluator(Predicate("coverage > 0.1"), {})(lambda: pytest.fail("asked"), 0.5) is True


def test_coverage_is_a_double_also_where_it_is_whole() -> None:
    """1 would not be 1.0 in CEL."""
    assert says("coverage == 1.0", None, 1) is True
    with pytest.raises(ExprError, match="write whole numbers that meet a double with a point"):
        compile_predicate("coverage == 1", frozenset())


@pytest.mark.parametrize("source", ["input.x", "branches.a.ok", 'attributes.other == ""', "mergd", "", "coverage"])
def test_what_it_may_not_read(source: str) -> None:
    """Only the merged value, coverage, and the attributes that are named."""
    with pytest.raises(ExprError):
        compile_predicate(source, frozenset({"mode"}))


def test_a_text_is_compiled_once_and_not_for_ever_kept() -> None:
    """The same text with the same attributes is the same expression; of texts that come over a wire only so many are kept."""
    once = compile_predicate("coverage > 0.123", frozenset())
    assert compile_predicate("coverage > 0.123", frozenset()) is once
    assert compile_predicate.cache_info().maxsize == KEPT
