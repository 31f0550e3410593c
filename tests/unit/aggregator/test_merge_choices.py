"""The merges that choose or count: vote, best_confidence, numeric."""

from __future__ import annotations

import pytest

from aggregator.engine.merges import Merge, Merged, MergeError, MergeInput, compile_merge
from fanmesh.model.merge import Conflict, MergeSpec
from fanmesh.model.values import JsonValue, Opaque, Value

BRANCHES = ("a", "b", "c", "d")
BLOB = Opaque("image/png", b"png", is_message=False)


def _merge(kind: str, options: JsonValue = None) -> Merge:
    return compile_merge(MergeSpec(kind, options), BRANCHES)


def _merged(
    kind: str, *values: Value, options: JsonValue = None, default: str = "", sure: tuple[float, ...] = (0.0,) * 4
) -> Merged:
    merge = _merge(kind, options)
    given = [
        MergeInput(branch, value, -at, branch in default, sure[at])
        for at, (branch, value) in enumerate(zip(BRANCHES, values, strict=False))
    ]
    assert [merge.accepts(one.branch, one.value) for one in given] == [None] * len(given)
    return merge.merge(given)


def _outcome(merged: Merged) -> tuple[JsonValue, JsonValue, JsonValue]:
    assert isinstance(merged.value, dict)
    return merged.value["winner"], merged.value["share"], merged.value["tie"]


# ---------------------------------------------------------------- vote


def test_a_vote_has_a_winner_and_a_tally() -> None:
    """Equal as JSON is equal; the tally has the most votes first, and says whose they are. Losing is no conflict."""
    merged = _merged("vote", {"n": 1}, {"n": 2}, {"n": 2.0}, options={"path": "n"})
    assert merged.value == {
        "winner": 2,
        "share": 2 / 3,
        "tie": False,
        "tally": [{"value": 2, "votes": 2, "branches": ["b", "c"]}, {"value": 1, "votes": 1, "branches": ["a"]}],
    }
    assert (merged.conflicts, merged.merged) == ((), ("a", "b", "c"))


def test_a_tie_goes_to_the_first_in_plan_order_and_is_a_conflict() -> None:
    """Whoever was faster; what is tied behind the winner is no tie."""
    merged = _merged("vote", "x", "y", "y", "x")
    assert _outcome(merged) == ("x", 0.5, True)
    assert merged.conflicts == (Conflict("", {"a": "x", "b": "y", "c": "y", "d": "x"}, "a"),)
    assert _outcome(_merged("vote", "x", "y", "z", "x")) == ("x", 0.5, False)


@pytest.mark.parametrize(
    ("votes", "winner"),
    [(("x", "x", "x", "y"), "x"), (("x", "x", "y", "y"), None), (("x", "x", "y", "z"), None), (("x",), "x")],
)
def test_a_majority_is_more_than_half(votes: tuple[str, ...], winner: str | None) -> None:
    """Half is not enough; without a majority there is no winner, and the votes are a conflict of which none was chosen."""
    merged = _merged("vote", *votes, options={"rule": "majority"})
    assert _outcome(merged)[0] == winner
    assert [conflict.chosen for conflict in merged.conflicts] == ([""] if winner is None else [])


def test_a_weighted_vote_adds_weights_as_they_are_written() -> None:
    """0.1 + 0.2 is a tie with 0.3; branches that are not named weigh 1."""
    options: JsonValue = {"rule": "weighted", "weights": {"a": 0.3, "b": 0.1, "c": 0.2}}
    assert _outcome(_merged("vote", "x", "y", "y", options=options)) == ("x", 0.5, True)
    assert _outcome(_merged("vote", "x", "y", "y", "z", options=options)) == ("z", 0.625, False)


def test_a_weighted_vote_without_weights_counts_confidence() -> None:
    """As each worker reports it; if nobody reports any, nobody has voted."""
    options: JsonValue = {"rule": "weighted", "path": "l"}
    answers: list[JsonValue] = [{"l": "x"}, {"l": "y"}, {"l": "y"}]
    merged = _merged("vote", *answers, options=options, sure=(0.9, 0.3, 0.5))
    assert _outcome(merged) == ("x", 0.9 / 1.7, False)
    lost = _merged("vote", *answers, options=options)
    assert _outcome(lost) == (None, 0.0, True)
    assert lost.conflicts == (Conflict("l", {"a": "x", "b": "y", "c": "y"}, ""),)


def test_a_winner_needs_its_share() -> None:
    """`min_share` is compared exactly, and reaching it is enough."""
    assert _outcome(_merged("vote", "x", "x", "y", "z", "w", options={"min_share": 0.5}))[0] == "x"
    assert _outcome(_merged("vote", "x", "x", "y", "z", options={"min_share": 0.51})) == (None, 0.5, False)
    options: JsonValue = {"rule": "weighted", "weights": {"a": 0.9, "b": 0.1}, "min_share": 0.9}
    assert _outcome(_merged("vote", "x", "y", options=options))[0] == "x"


def test_null_abstains_and_a_default_votes_only_alone() -> None:
    """A stand-in must not decide among answers."""
    merged = _merged("vote", None, "x", "y", "y", default="cd")
    assert _outcome(merged) == ("x", 1.0, False)
    assert merged.merged == ("a", "b")
    alone = _merged("vote", None, "x", default="b")
    assert (_outcome(alone), alone.merged) == (("x", 1.0, False), ("a", "b"))
    assert _merged("vote", {}, {"l": None}, options={"path": "l"}).value == {
        "winner": None,
        "share": 0,
        "tie": False,
        "tally": [],
    }
    assert _merge("vote").merge([]) == Merged({"winner": None, "share": 0, "tie": False, "tally": []})


# ---------------------------------------------------------------- best_confidence


def test_the_surest_answer_is_taken_whole() -> None:
    """Whatever it is, opaque ones too; a branch that reports nothing has 0.0."""
    assert _merged("best_confidence", 1, {"x": 2}, 3, sure=(0.2, 0.9, 0.8, 0)) == Merged({"x": 2}, (), ("b",))
    assert _merged("best_confidence", 1, BLOB, sure=(0.0, 0.1, 0, 0)).value is BLOB
    assert not _merge("best_confidence").needs_fields


def test_equal_confidence_goes_by_plan_order() -> None:
    """And is reported if the answers are not equal as JSON."""
    assert _merged("best_confidence", 1, 2, 0, sure=(0.5, 0.5, 0.1, 0)) == Merged(
        1, (Conflict("confidence", {"a": 0.5, "b": 0.5, "c": 0.1}, "a"),), ("a",)
    )
    assert _merged("best_confidence", 1, 1.0, sure=(0.5, 0.5, 0, 0)).conflicts == ()
    assert _merged("best_confidence", BLOB, BLOB).conflicts == ()


def test_too_little_confidence_is_reported_and_no_reason_to_say_nothing() -> None:
    """The best is still the result; reaching `min` is enough."""
    merged = _merged("best_confidence", "x", "y", options={"min": 0.7}, sure=(0.6, 0.4, 0, 0))
    assert merged == Merged("x", (Conflict("confidence", {"a": 0.6, "b": 0.4}, "a"),), ("a",))
    assert _merged("best_confidence", "x", options={"min": 0.6}, sure=(0.6, 0, 0, 0)).conflicts == ()


def test_a_default_is_never_sure() -> None:
    """It is taken only if nobody answered, and then in plan order, without a conflict."""
    assert _merged("best_confidence", 1, 2, default="a") == Merged(2, (), ("b",))
    assert _merged("best_confidence", 1, 2, default="ab", options={"min": 1}) == Merged(1, (), ("a",))
    assert _merge("best_confidence").merge([]) == Merged(None)


# ---------------------------------------------------------------- numeric


@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        ("mean", (1, 2, 4.5), 2.5),
        ("mean", (1e308, 1e308, 1e308), 1e308),
        ("mean", (1e100, 1.0, -1e100, 2.0), 0.75),
        ("median", (9, 1, 5), 5),
        ("median", (9, 1, 5, 4), 4.5),
        ("min", (2, 1.0, 1), 1.0),
        ("max", (2, 3, 3.0), 3),
        ("sum", (1, 2, 3), 6),
        ("sum", ((1 << 63) - 1, 1), 1 << 63),
        ("sum", (1e100, 1.0, -1e100), 1.0),
        ("sum", (1e308, 1e308, -1e308), 1e308),
        ("sum", ((1 << 53) + 1, 1.0), 9007199254740994.0),
        ("weighted_mean", (1, 2), None),
    ],
)
def test_numbers_become_one(rule: str, values: tuple[float, ...], expected: float | None) -> None:
    """Exactly, rounded once; integers stay integers where the rule gives one of them or their sum."""
    merged = _merged("numeric", *values, options={"rule": rule})
    assert merged.value == {"value": expected, "count": len(values)}
    assert type(merged.value["value"]) is type(expected)
    assert (merged.conflicts, merged.merged) == ((), BRANCHES[: len(values)])


def test_a_weighted_mean_by_weights_or_by_confidence() -> None:
    """Branches that are not named weigh 1; what weighs nothing is still counted."""
    options: JsonValue = {"rule": "weighted_mean", "weights": {"a": 3, "c": 0}}
    assert _merged("numeric", 1, 2, 99, options=options).value == {"value": 1.25, "count": 3}
    sure = (0.75, 0.25, 0.0, 0.0)
    assert _merged("numeric", 1, 2, 99, options={"rule": "weighted_mean"}, sure=sure).value == {"value": 1.25, "count": 3}


def test_the_standard_deviation_is_of_the_answers() -> None:
    """With n in the denominator; one number has none to differ from, none has no deviation."""
    options: JsonValue = {"stdev": True, "path": "p.x"}
    assert _merged("numeric", {"p": {"x": 1}}, {"p": {"x": 3}}, {"p": None}, options=options).value == {
        "value": 2.0,
        "count": 2,
        "stdev": 1.0,
    }
    assert _merged("numeric", {"p": {"x": 7}}, options=options).value == {"value": 7.0, "count": 1, "stdev": 0.0}
    assert _merge("numeric", options).merge([]) == Merged({"value": None, "count": 0, "stdev": None})


def test_a_default_moves_no_mean() -> None:
    """It is counted only if no answer has a number."""
    merged = _merged("numeric", 1, 100, 3, default="b")
    assert (merged.value, merged.merged) == ({"value": 2.0, "count": 2}, ("a", "c"))
    alone = _merged("numeric", None, 100, default="b")
    assert (alone.value, alone.merged) == ({"value": 100.0, "count": 1}, ("a", "b"))


def test_sums_that_no_number_holds() -> None:
    """No value then, an error that names path and branches, and the numbers as a conflict of which none was chosen."""
    merged = _merged("numeric", {"x": 1.7e308}, {"x": 1.7e308}, options={"rule": "sum", "path": "x"})
    error = "x: a, b add up to more than a double holds"
    assert merged == Merged(None, (Conflict("x", {"a": 1.7e308, "b": 1.7e308}, ""),), (), error)
    assert _merged("numeric", (1 << 64) - 1, 1, options={"rule": "sum"}).error == "a, b add up to more than 64 bits hold"


# ---------------------------------------------------------------- what they refuse


@pytest.mark.parametrize(
    ("kind", "options", "value", "why"),
    [
        ("vote", None, BLOB, "a is an opaque image/png, which cannot be part of a JSON result"),
        ("vote", {"path": "x.y"}, "s", "a is a string, and only a map can have x.y"),
        ("vote", {"path": "x.y"}, {"x": [1]}, "a.x is a list, and only a map can have y"),
        ("vote", {"path": "x.y"}, BLOB, "a is an opaque image/png, and only a map can have x.y"),
        ("numeric", None, "1", "a is a string, and mean needs numbers"),
        ("numeric", None, True, "a is a boolean, and mean needs numbers"),
        ("numeric", None, BLOB, "a is an opaque image/png, and mean needs numbers"),
        ("numeric", {"path": "x", "rule": "sum"}, {"x": {}}, "a.x is a map, and sum needs numbers"),
        ("numeric", {"path": "x"}, [1], "a is a list, and only a map can have x"),
    ],
)
def test_what_is_refused(kind: str, options: JsonValue, value: Value, why: str) -> None:
    """A branch is judged when it answers, with the path of what is wrong."""
    assert _merge(kind, options).accepts("a", value) == why


@pytest.mark.parametrize(
    ("kind", "options", "path", "message"),
    [
        ("vote", "x", (), "expected a map of options: path, rule, weights, min_share"),
        ("vote", {"rule": "most"}, ("rule",), "no rule 'most'; there are plurality, majority, weighted"),
        ("vote", {"weights": {"a": 1}}, ("weights",), "say nothing in a vote by plurality"),
        ("vote", {"min_share": 1.5}, ("min_share",), "expected a number from 0 to 1"),
        ("vote", {"path": "a..b"}, ("path",), "expected a dotted path"),
        ("best_confidence", {"min": "0.5"}, ("min",), "expected a number from 0 to 1"),
        ("best_confidence", {"mni": 0.5}, ("mni",), "no option 'mni', did you mean 'min'"),
        ("numeric", {"rule": "avg"}, ("rule",), "no rule 'avg'; there are mean, median, min, max, sum, weighted_mean"),
        ("numeric", {"weights": {}}, ("weights",), "say nothing for mean"),
        ("numeric", {"stdev": 1}, ("stdev",), "expected true or false"),
    ],
)
def test_options_that_are_not_understood(kind: str, options: JsonValue, path: tuple[str, ...], message: str) -> None:
    """The error leads to the place and says what would be right there."""
    with pytest.raises(MergeError) as caught:
        _merge(kind, options)
    assert caught.value.path == path
    assert caught.value.message.startswith(message)
