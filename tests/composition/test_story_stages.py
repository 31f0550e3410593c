"""Staged plans: a node starts the moment what it reads has ended; what is missing goes by the missing branch's own word."""

from __future__ import annotations

from typing import Any

import pytest

from fanmesh.model.states import BranchReason, BranchState, CompletedBy
from fanmesh.testing import Lab, ends, fails, hangs, ms, rubbish, run_virtual, streams
from tests.kit.plans import plan

R, S, C = BranchReason, BranchState, CompletedBy

CHAIN: dict[str, dict[str, Any]] = {
    "a": {},
    "b": {"input": {"from": "${branches.a.output.n}"}},
    "c": {"input": "${branches.b.output}"},
}


def test_a_node_starts_the_moment_its_inputs_are_there() -> None:
    """No level waits for another: c follows b at 30 ms although its uncle d takes 200."""

    async def story() -> None:
        lab = Lab(plan({**CHAIN, "d": {}}))
        lab.worker("a").plays(ends({"n": 7}, after=ms(10)))
        lab.worker("b").plays(ends({"m": 8}, after=ms(20)))
        lab.worker("c").plays(ends("z", after=ms(30)))
        lab.worker("d").plays(ends("d", after=ms(200)))
        r = await lab.dispatch("p", {"x": 1})
        assert [row.started_after for row in r.report.branches] == [0, ms(10), ms(30), 0]
        assert lab.worker("b").calls == [{"from": 7}]
        assert lab.worker("c").calls == [{"m": 8}]
        assert (r.elapsed, r.complete, r.report.completed_by) == (ms(200), True, C.ALL)
        assert r.value == {"a": {"n": 7}, "b": {"m": 8}, "c": "z", "d": "d"}
        lab.assert_nothing_left()

    run_virtual(story())


@pytest.mark.parametrize(
    ("if_missing", "b", "c"),
    [
        ("skip", (S.SKIPPED, R.UPSTREAM_MISSING), (S.SKIPPED, R.UPSTREAM_MISSING)),
        ({"use": {"n": 5}}, (S.SUCCEEDED, R.NONE), (S.SUCCEEDED, R.NONE)),
    ],
)
def test_a_missing_input_follows_the_missing_branchs_own_word(if_missing: Any, b: Any, c: Any) -> None:
    """`skip`: whoever reads it is UPSTREAM_MISSING, and so on down the line; `use`: the default is what they read."""

    async def story() -> None:
        lab = Lab(plan({**CHAIN, "a": {"if_missing": if_missing}, "d": {}}))
        lab.worker("a").plays(fails("NOT_FOUND", after=ms(5)))
        lab.worker("b").plays(ends({"m": 1}))
        lab.worker("c").plays(ends(3))
        lab.worker("d").plays(ends(4))
        r = await lab.dispatch("p", {})
        assert (r.report["b"].state, r.report["b"].reason) == b
        assert (r.report["c"].state, r.report["c"].reason) == c
        assert lab.worker("b").calls == ([{"from": 5}] if b[0] is S.SUCCEEDED else [])
        assert r.report.degraded.missing_input == (b[0] is S.SKIPPED)
        assert r.coverage.ratio == (0.75 if b[0] is S.SUCCEEDED else 0.25)  # what is missing stays in the denominator
        lab.assert_nothing_left()

    run_virtual(story())


def test_a_default_of_the_reader_itself_stands_in_for_it_and_feeds_on() -> None:
    """UPSTREAM_MISSING with `if_missing: use` is DEFAULTED, and satisfies those that read it."""

    async def story() -> None:
        lab = Lab(plan({**CHAIN, "b": {**CHAIN["b"], "if_missing": {"use": "stand-in"}}}))
        lab.worker("a").plays(fails("NOT_FOUND"))
        lab.worker("c").plays(ends(3))
        r = await lab.dispatch("p", {})
        assert (r.report["b"].state, r.report["b"].reason) == (S.DEFAULTED, R.UPSTREAM_MISSING)
        assert lab.worker("c").calls == ["stand-in"]
        assert r.value == {"b": "stand-in", "c": 3}

    run_virtual(story())


def test_a_required_node_without_its_input_fails_the_request_at_once() -> None:
    """Its UPSTREAM_MISSING makes the floor unreachable; nobody waits for the rest."""

    async def story() -> None:
        lab = Lab(plan({"a": {}, "b": {"required": True, "input": "${branches.a.output}"}, "slow": {}}))
        lab.worker("a").plays(fails("INTERNAL", after=ms(3)))
        lab.worker("slow").plays(hangs())
        r = await lab.dispatch("p", {})
        assert (r.report.completed_by, r.elapsed, r.code.name, r.reason) == (
            C.UNREACHABLE, ms(3), "UNAVAILABLE", "COMPLETION_UNREACHABLE",
        )  # fmt: skip
        lab.assert_nothing_left()

    run_virtual(story())


@pytest.mark.parametrize("broken", [fails("UNAVAILABLE"), rubbish(), hangs(), ends({"n": 1}, confidence=0.3), ends({"n": 1})])
def test_an_if_sees_its_branches_bound_so_that_a_failed_step_escalates(broken: Any) -> None:
    """A failed, timed-out, unsure or silent cheap model has confidence 0.0 or what it said; its `if` is decided, not failed."""

    async def story() -> None:
        lab = Lab(
            plan({"small": {"timeout": "50ms"}, "large": {"if": "branches.small.confidence < 0.9"}}, merge="best_confidence")
        )
        lab.worker("small").plays(broken)
        lab.worker("large").plays(ends("big", confidence=0.8))
        r = await lab.dispatch("p", {})
        assert r.report["large"].state is S.SUCCEEDED
        assert r.value == "big"

    run_virtual(story())


def test_an_if_is_asked_as_soon_as_what_it_reads_has_ended() -> None:
    """C also reads slow, but its `if` reads only a: it is out of the way, and out of the denominator, when a has ended."""

    async def story() -> None:
        branches = {"a": {}, "slow": {}, "c": {"if": "branches.a.output.go", "input": "${branches.slow.output}"}}
        lab = Lab(plan(branches, complete={"until": {"coverage": 0.5}}))
        lab.worker("a").plays(ends({"go": False}, after=ms(10)))
        lab.worker("slow").plays(ends(1, after=ms(400)))
        r = await lab.dispatch("p", {})
        assert (r.report["c"].state, r.report["c"].reason) == (S.SKIPPED, R.CONDITION)
        assert (r.elapsed, r.coverage.ratio) == (ms(10), 0.5)  # 1 of 2, not 1 of 3
        assert lab.worker("c").calls == []

    run_virtual(story())


def test_a_false_if_feeds_nobody_and_takes_no_default() -> None:
    """SKIPPED/CONDITION is what the plan wanted: no default stands in, and whoever reads it misses an input."""

    async def story() -> None:
        lab = Lab(plan({"x": {}, "a": {"if": "false", "if_missing": {"use": 1}}, "b": {"input": "${branches.a.output}"}}))
        lab.worker("x").plays(ends(0))
        r = await lab.dispatch("p", {})
        assert (r.report["a"].reason, r.report["b"].reason) == (R.CONDITION, R.UPSTREAM_MISSING)

    run_virtual(story())


def test_every_if_false_is_empty_however_long_the_chain() -> None:
    """A chain of conditions that are false one after another ends as EMPTY, at once, and without recursion."""

    async def story() -> None:
        chain = {"n0": {"if": "false"}} | {f"n{i}": {"if": f"branches.n{i - 1}.ok"} for i in range(1, 300)}
        lab = Lab(plan(chain))
        r = await lab.dispatch("p", {})
        assert (r.report.completed_by, r.elapsed, r.reason) == (C.EMPTY, 0, "NOTHING_TO_RUN")

    run_virtual(story())


def test_nodes_that_have_not_started_when_the_request_completes_are_skipped() -> None:
    """By its rule: COMPLETION_MET; after the plan's soft timeout: SOFT_TIMEOUT. Neither was sent."""

    async def story() -> None:
        lab = Lab(plan({"a": {}, "fast": {}, "b": {"input": "${branches.a.output}"}}, complete={"until": "first"}))
        lab.worker("a").plays(hangs())
        lab.worker("fast").plays(ends(1, after=ms(5)))
        r = await lab.dispatch("p", {})
        assert (r.report["b"].state, r.report["b"].reason) == (S.SKIPPED, R.COMPLETION_MET)
        lab = Lab(plan({"a": {}, "fast": {}, "b": {"input": "${branches.a.output}"}}, complete={"soft_timeout": "50ms"}))
        lab.worker("a").plays(hangs())
        lab.worker("fast").plays(ends(1, after=ms(5)))
        r = await lab.dispatch("p", {})
        assert (r.elapsed, r.report["b"].state, r.report["b"].reason) == (ms(50), S.SKIPPED, R.SOFT_TIMEOUT)
        lab.assert_nothing_left()

    run_virtual(story())


def test_a_branch_ends_early_enough_for_those_that_wait_for_it() -> None:
    """Stop is 975 ms; b wants 400 and c 200 of it: a has 375, b 775; a branch's own timeout may be shorter still."""

    async def story() -> None:
        branches = {
            "a": {},
            "b": {"input": "${branches.a.output}", "min_time": "400ms"},
            "c": {"input": "${branches.b.output}", "min_time": "200ms"},
            "d": {},
        }
        lab = Lab(plan(branches))
        lab.worker("a").plays(hangs())
        lab.worker("d").plays(ends(1))
        r = await lab.dispatch("p", {})
        assert (r.report["a"].state, r.report["a"].reason, r.report["a"].elapsed) == (S.TIMED_OUT, R.HARD_TIMEOUT, ms(375))
        assert r.elapsed == ms(375)
        lab.worker("a").plays(ends(1, after=ms(375) - 1))
        lab.worker("b").plays(hangs())
        r = await lab.dispatch("p", {})
        assert (r.report["b"].reason, r.elapsed) == (R.HARD_TIMEOUT, ms(775))
        lab.assert_nothing_left()

    run_virtual(story())


def test_a_successor_that_is_not_wanted_gives_its_time_back() -> None:
    """Conditional ones are reckoned with until resolved false: b is out before a2 starts, and a2 has all the time."""

    async def story() -> None:
        branches = {
            "q": {},
            "a": {"input": "${branches.q.output}"},
            "b": {"if": "branches.q.output.deep", "input": "${branches.a.output}", "min_time": "500ms"},
        }
        lab = Lab(plan(branches))
        lab.worker("q").plays(ends({"deep": False}, after=ms(10)))
        lab.worker("a").plays(ends("late", after=ms(900)))
        r = await lab.dispatch("p", {})
        assert (r.report["a"].state, r.elapsed) == (S.SUCCEEDED, ms(910))
        lab.worker("q").plays(ends({"deep": True}, after=ms(10)))
        r = await lab.dispatch("p", {})
        assert (r.report["a"].state, r.elapsed) == (S.TIMED_OUT, ms(475))

    run_virtual(story())


def test_with_less_than_its_min_time_a_node_is_not_started() -> None:
    """A slow predecessor that is not cut (d's min_time is its own business) leaves too little: SKIPPED/NOT_STARTED_NO_TIME."""

    async def story() -> None:
        lab = Lab(plan({"a": {}, "b": {"min_time": "950ms"}}))
        lab.worker("a").plays(ends(1, after=ms(5)))
        lab.worker("b").plays(ends(2))
        r = await lab.dispatch("p", {}, timeout=ms(900))
        assert (r.report["b"].state, r.report["b"].reason) == (S.SKIPPED, R.NOT_STARTED_NO_TIME)
        assert r.report.degraded.hard_timeout
        assert lab.worker("b").calls == []

    run_virtual(story())


@pytest.mark.parametrize(("allowed", "sent"), [(False, []), (True, [{"t": [1, 2]}])])
def test_partial_results_never_feed_a_write_unless_the_plan_says_so(allowed: bool, sent: list[Any]) -> None:  # noqa: FBT001
    """A stream before a write is seen whole or not at all; with the plan's word, what was kept of it is good enough."""

    async def story() -> None:
        branches = {
            "s": {},
            "read": {"input": {"t": "${branches.s.output}"}},
            "write": {"input": {"t": "${branches.s.output}"}, "allow_partial_input": allowed},
        }
        lab = Lab(plan(branches, streaming=["s"], workers={"write": {"effect": "write"}}, accept={"min_success": 0}))
        lab.worker("s").plays(streams([[1], [2]], every=ms(5), then=fails("UNAVAILABLE")))
        lab.worker("read").plays(ends("r"))
        lab.worker("write").plays(ends("w"))
        r = await lab.dispatch("p", {})
        assert (r.report["s"].state, r.report["s"].merged) == (S.FAILED, allowed)
        assert lab.worker("write").calls == lab.worker("read").calls == sent
        assert r.report["write"].reason is (R.NONE if allowed else R.UPSTREAM_MISSING)
        lab.assert_nothing_left()

    run_virtual(story())


def test_a_stream_is_read_as_its_whole() -> None:
    """Parts are put together before the next node reads them; confidence is the last one said."""

    async def story() -> None:
        branches = {"s": {}, "b": {"if": "size(branches.s.output) == 3", "input": {"all": "${branches.s.output}"}}}
        lab = Lab(plan(branches, streaming=["s"]))
        lab.worker("s").plays(streams([[1], [2], [3]], every=ms(5)))
        lab.worker("b").plays(ends("b"))
        r = await lab.dispatch("p", {})
        assert lab.worker("b").calls == [{"all": [1, 2, 3]}]
        assert r.complete

    run_virtual(story())


def test_an_output_may_read_other_branches_and_waits_for_them() -> None:
    """What an answer becomes may depend on another's: the node starts when that one has ended."""

    async def story() -> None:
        lab = Lab(plan({"rate": {}, "sum": {"output": {"eur": "${double(output.usd) * double(branches.rate.output.r)}"}}}))
        lab.worker("rate").plays(ends({"r": 0.5}, after=ms(20)))
        lab.worker("sum").plays(ends({"usd": 10}, after=ms(5)))
        r = await lab.dispatch("p", {})
        assert (r.value["sum"], r.report["sum"].started_after) == ({"eur": 5.0}, ms(20))  # type: ignore[index,call-overload]

    run_virtual(story())


def test_an_input_that_cannot_be_mapped_from_an_answer_is_that_nodes_own_failure() -> None:
    """The answer has no such field: CONDITION_ERROR, as for any expression; others go on."""

    async def story() -> None:
        lab = Lab(plan({"a": {}, "b": {"input": "${branches.a.output.absent}"}, "c": {"input": "${branches.a.output.n}"}}))
        lab.worker("a").plays(ends({"n": 1}))
        lab.worker("c").plays(ends(2))
        r = await lab.dispatch("p", {})
        assert (r.report["b"].reason, r.report["c"].state) == (R.CONDITION_ERROR, S.SUCCEEDED)
        assert r.report.degraded.error

    run_virtual(story())


def test_stages_are_barriers() -> None:
    """The second stage starts when all of the first has ended, however; nothing is missing to it, for it reads nothing."""

    async def story() -> None:
        config = plan({"a": {}, "b": {}, "c": {}, "d": {}})
        config["plans"]["p"] |= {"branches": None, "stages": [{"a": {}, "b": {}}, {"c": {}}, {"d": {}}]}
        del config["plans"]["p"]["branches"]
        lab = Lab(config)
        lab.worker("a").plays(ends(1, after=ms(10)))
        lab.worker("b").plays(fails("INTERNAL", after=ms(30)))
        lab.worker("c").plays(ends(3, after=ms(5)))
        lab.worker("d").plays(ends(4))
        r = await lab.dispatch("p", {})
        assert [row.started_after for row in r.report.branches] == [0, 0, ms(30), ms(35)]
        assert r.value == {"a": 1, "c": 3, "d": 4}

    run_virtual(story())


STEPS = [
    {"branch": "small", "stop_if": 'confidence >= 0.9 && attributes.risk != "high"'},
    {"branch": "medium", "timeout": "100ms", "stop_if": "output.sure"},
    {"branch": "large", "min_time": "400ms"},
]


@pytest.mark.parametrize(
    ("small", "medium", "risk", "asked", "value"),
    [
        (ends("s", confidence=0.95), hangs(), "", "small", "s"),
        (ends("s", confidence=0.95), ends({"sure": True}, confidence=0.99), "high", "small medium", {"sure": True}),
        (ends("s", confidence=0.5), ends({"sure": False}, confidence=0.7), "", "small medium large", "l"),
        (ends("s"), fails("UNAVAILABLE"), "", "small medium large", "l"),
        (fails("INTERNAL"), ends({"sure": True}), "", "small medium", {"sure": True}),
        (fails("INTERNAL"), hangs(), "", "small medium large", "l"),
        (ends("s", confidence=0.2), ends({}, confidence=0.3), "", "small medium large", "l"),
    ],
)
def test_a_cascade_goes_on_until_a_step_is_good_enough(small: Any, medium: Any, risk: str, asked: str, value: Any) -> None:
    """Next step on low confidence, error, timeout, and where an answer cannot be judged; the best answer is the result."""

    async def story() -> None:
        config = plan({"small": {}, "medium": {}, "large": {}}, attributes=["risk"])
        del config["plans"]["p"]["branches"]
        config["plans"]["p"]["cascade"] = STEPS
        lab = Lab(config)
        lab.worker("small").plays(small)
        lab.worker("medium").plays(medium)
        lab.worker("large").plays(ends("l", confidence=0.9))
        r = await lab.dispatch("p", {}, attributes={"risk": risk})
        assert [row.branch for row in r.report.branches if row.started_after is not None] == asked.split()
        assert r.value == value
        assert all(row.reason is R.CONDITION for row in r.report.branches if row.branch not in asked)
        lab.assert_nothing_left()

    run_virtual(story())


def test_a_step_leaves_the_next_ones_their_time() -> None:
    """The steps before `large` have 975 − 400 ms together, each its own timeout within them."""

    async def story() -> None:
        config = plan({"small": {}, "large": {}})
        del config["plans"]["p"]["branches"]
        config["plans"]["p"]["cascade"] = [{"branch": "small"}, {"branch": "large", "min_time": "400ms"}]
        lab = Lab(config)
        lab.worker("small").plays(hangs())
        lab.worker("large").plays(ends("l", after=ms(390)))
        r = await lab.dispatch("p", {})
        assert (r.report["small"].elapsed, r.elapsed, r.value) == (ms(575), ms(965), "l")

    run_virtual(story())


def test_the_caller_goes_away_between_stages() -> None:
    """What runs is cancelled, what has not started never starts."""

    async def story() -> None:
        import asyncio  # noqa: PLC0415  (of this story alone)

        lab = Lab(plan(CHAIN))
        lab.worker("a").plays(ends({"n": 1}, after=ms(10)))
        lab.worker("b").plays(hangs())
        lab.worker("c").plays(ends(1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await lab.dispatch("p", {})
        await lab.settle()
        assert (lab.worker("b").cancelled, lab.worker("c").calls) == (1, [])
        lab.assert_nothing_left()

    run_virtual(story())
