"""What a fallback may be: a worker with its own mappings and fallbacks, a value, another branch."""

from __future__ import annotations

import pytest

from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.testing import Lab, ends, fails, hangs, ms, streams
from tests.kit.fallbacks import DEEP, USE, B, conf, fate, made, noted

R, S = BranchReason, BranchState


# ---------------------------------------------------------------------- mappings and depth


@pytest.mark.fanmesh(
    conf(
        {
            "input": {"q": "${input.x}"},
            "output": {"v": "${output.n}"},
            "fallback": {**B, "input": {"other": "${input.x + 1}"}, "output": {"v": "${output.m}", "from": "b"}},
        }
    )
)
async def test_a_fallback_has_its_own_mappings(lab: Lab) -> None:
    """What b is sent, and what its answer becomes."""
    lab.worker("a").plays(ends({"wrong": 1}))  # its output cannot be mapped: INVALID_RESPONSE
    lab.worker("b").plays(ends({"m": 5}))
    r = await lab.dispatch("p", {"x": 1})
    assert (lab.worker("a").calls, lab.worker("b").calls) == ([{"q": 1}], [{"other": 2}])
    assert (r.value, fate(r.report["a"])) == ({"a": {"v": 5, "from": "b"}}, (S.FELL_BACK, R.INVALID_RESPONSE, "b"))


@pytest.mark.fanmesh(conf({"input": {"q": "${input.x}"}, "output": {"v": "${output.n}"}, "fallback": B}))
async def test_without_mappings_of_its_own_it_has_those_of_the_branch(lab: Lab) -> None:
    """Another place for the same work needs nothing but a name."""
    lab.worker("a").plays(fails("NOT_FOUND"))
    lab.worker("b").plays(ends({"n": 5}))
    r = await lab.dispatch("p", {"x": 1})
    assert (r.value, lab.worker("b").calls) == ({"a": {"v": 5}}, [{"q": 1}])


@pytest.mark.fanmesh(conf({"fallback": {**B, "input": {"q": "${input.y}"}}}))
async def test_an_input_that_cannot_be_mapped_is_a_fallback_that_failed(lab: Lab) -> None:
    """Nobody is called, and the worker's own fault stands."""
    lab.worker("a").plays(fails("INTERNAL"))
    r = await lab.dispatch("p", {"x": 1})
    row = r.report["a"]
    assert (fate(row), lab.worker("b").calls) == ((S.FAILED, R.WORKER_ERROR, "a"), [])
    assert noted(row) == [("fallback", "INTERNAL → worker b"), ("fallback_failed", "invalid_response")]


@pytest.mark.fanmesh(conf({"fallback": DEEP}))
async def test_a_fallback_may_have_one_itself(lab: Lab) -> None:
    """A, then b, then c; the reason stays a's."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(1)))
    lab.worker("b").plays(fails("NOT_FOUND", after=ms(1)))
    lab.worker("c").plays(ends(3, after=ms(1)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (fate(row), r.value) == ((S.FELL_BACK, R.WORKER_ERROR, "c"), {"a": 3})
    assert [one[:2] for one in made(row)] == [(0, "a"), (1, "b"), (2, "c")]
    assert noted(row) == [
        ("fallback", "INTERNAL → worker b"), ("fallback_failed", "NOT_FOUND"), ("fallback", "NOT_FOUND → worker c"),
    ]  # fmt: skip
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"required": True, "fallback": DEEP}))
async def test_where_nobody_answers_the_branch_ends_as_its_own_worker_did(lab: Lab) -> None:
    """Its code and its words are in the status of the call: that is what has to be mended."""
    lab.worker("a").plays(fails("INTERNAL", "disk full"))
    lab.worker("b").plays(fails("NOT_FOUND"))
    lab.worker("c").plays(fails("UNAVAILABLE"))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (fate(row), row.code, row.detail) == ((S.FAILED, R.WORKER_ERROR, "a"), Code.INTERNAL, "disk full")
    assert r.refusal is not None
    assert dict(r.refusal.metadata)["cause_code"] == "INTERNAL"
    assert [one[:2] for one in made(row)] == [(0, "a"), (1, "b"), (2, "c")]
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": {**B, "min_time": "990ms", "fallback": USE}}))
async def test_one_for_whom_there_is_no_time_is_passed_over(lab: Lab) -> None:
    """The next one is quicker."""
    lab.worker("a").plays(fails("INTERNAL"))
    r = await lab.dispatch("p")
    assert noted(r.report["a"]) == [("fallback_denied", "no_time"), ("fallback", "INTERNAL → value")]


# ---------------------------------------------------------------------- a value, another branch


@pytest.mark.fanmesh(conf({"fallback": USE, "if_missing": {"use": "never"}}))
async def test_a_value_stands_in_and_counts_as_an_answer(lab: Lab) -> None:
    """Unlike a default: FELL_BACK, in the coverage, and before `if_missing`. Nobody answered, so there is no endpoint."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(4)))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (r.value, r.coverage.ratio, r.elapsed) == ({"a": {"n": 0}}, 1.0, ms(4))
    assert (fate(row), row.endpoint, made(row)) == (
        (S.FELL_BACK, R.WORKER_ERROR, "a"), "", [(0, "a", "worker_error", False)],
    )  # fmt: skip
    assert noted(row) == [("fallback", "INTERNAL → value")]


STANDING = conf({"fallback": {"branch": "b"}}, branches={"b": {}})


@pytest.mark.fanmesh(STANDING)
@pytest.mark.parametrize(("a", "b"), [(10, 40), (40, 10), (20, 20)])
async def test_another_branchs_answer_stands_in(lab: Lab, a: int, b: int) -> None:
    """It is waited for if it has not ended, and is not called again."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(a)))
    lab.worker("b").plays(ends("B", after=ms(b), confidence=0.7))
    r = await lab.dispatch("p")
    row = r.report["a"]
    assert (r.value, r.elapsed) == ({"a": "B", "b": "B"}, ms(max(a, b)))
    assert (fate(row)[:2], row.confidence, row.endpoint) == ((S.FELL_BACK, R.WORKER_ERROR), 0.7, "")
    assert (len(lab.worker("b").calls), noted(row)) == (1, [("fallback", "INTERNAL → branch b")])
    lab.assert_nothing_left()


@pytest.mark.fanmesh(STANDING)
async def test_a_branch_that_failed_itself_stands_in_for_nobody(lab: Lab) -> None:
    """Both have failed, each with its own reason."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(fails("NOT_FOUND", after=ms(5)))
    r = await lab.dispatch("p")
    assert (r.report["a"].code, r.report["b"].code) == (Code.INTERNAL, Code.NOT_FOUND)
    assert noted(r.report["a"]) == [("fallback", "INTERNAL → branch b"), ("fallback_failed", "FAILED_PRECONDITION")]
    lab.assert_nothing_left()


@pytest.mark.fanmesh(conf({"fallback": {"branch": "b"}}, branches={"b": {"if_missing": {"use": "default"}}}))
async def test_a_default_is_no_answer_that_could_stand_in(lab: Lab) -> None:
    """B is DEFAULTED; a is not: what is missing twice must not look like one answer and one default."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(fails("NOT_FOUND"))
    r = await lab.dispatch("p")
    assert [r.report[one].state for one in "ab"] == [S.FAILED, S.DEFAULTED]


@pytest.mark.fanmesh(conf({"fallback": {"branch": "b"}}, branches={"b": {}}))
async def test_waiting_for_another_branch_ends_at_stop(lab: Lab) -> None:
    """One deadline over all of it."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(hangs())
    r = await lab.dispatch("p")
    assert [fate(r.report[one])[:2] for one in "ab"] == [(S.TIMED_OUT, R.REQUEST_DEADLINE)] * 2
    await lab.settle()
    lab.assert_nothing_left()


@pytest.mark.fanmesh(
    conf({"fallback": {"branch": "b", "output": {"again": "${output.n}"}, "fallback": USE}}, branches={"b": {"if": "input.go"}})
)
@pytest.mark.parametrize("go", [True, False])
async def test_the_stand_in_may_be_mapped_and_may_not_run(lab: Lab, *, go: bool) -> None:
    """A branch whose `if` is false has no answer: the next fallback is asked."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(ends({"n": 9}))
    r = await lab.dispatch("p", {"go": go})
    assert r.value == ({"a": {"again": 9}, "b": {"n": 9}} if go else {"a": {"n": 0}})


@pytest.mark.fanmesh(conf({"fallback": {"branch": "b"}}, branches={"b": {}}, streaming=("b",)))
async def test_a_streamed_answer_stands_in_as_a_whole(lab: Lab) -> None:
    """Put together from its parts."""
    lab.worker("a").plays(fails("INTERNAL"))
    lab.worker("b").plays(streams([["x"], ["y"]], every=ms(5)))
    r = await lab.dispatch("p")
    assert r.value == {"a": ["x", "y"], "b": ["x", "y"]}


@pytest.mark.fanmesh(conf({"fallback": B}, branches={"x": {"input": "${branches.a.output}"}}))
async def test_a_fallbacks_answer_feeds_on(lab: Lab) -> None:
    """To those that read the branch it is an answer like any other, and they start when it is there."""
    lab.worker("a").plays(fails("INTERNAL", after=ms(5)))
    lab.worker("b").plays(ends({"n": 3}, after=ms(5)))
    lab.worker("x").plays(ends("done"))
    r = await lab.dispatch("p")
    assert (lab.worker("x").calls, r.report["x"].started_after) == ([{"n": 3}], ms(10))
