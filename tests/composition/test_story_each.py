"""A branch for each item of a list: how many at once, who goes first, how many may fail, and what the node has then given."""

from __future__ import annotations

from typing import Any

import pytest

from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.states import BranchReason, BranchState, CompletedBy
from fanmesh.model.values import Value
from fanmesh.testing import Lab, Script, ends, fails, hangs, ms, run_virtual
from fanmesh.testing.scripts import PartTaker, virtual_sleep
from tests.kit.plans import plan

R, S, C = BranchReason, BranchState, CompletedBy


def by_item(takes: dict[str, int] | None = None, bad: str = "", base: int = 10) -> Script:
    """A worker that answers {"got": item} after its ms; items in `bad` fail with NOT_FOUND, and those in upper case hang."""

    async def play(value: Value, _take: PartTaker) -> Outcome:
        item = str(value)
        if item.isupper():
            await virtual_sleep(ms(10_000))
        await virtual_sleep(ms((takes or {}).get(item, base)))
        if item in bad.split():
            return Fault(FaultKind.WORKER_ERROR, Code.NOT_FOUND, f"no {item}")
        return Success({"got": item}, confidence=0.5 + 0.1 * (item == "a"))

    return Script(play, "by_item")


def each(items: Any = "${input.list}", **options: Any) -> dict[str, Any]:
    """The branch's key."""
    return {"for_each": {"items": items, **options}}


def fates(r: Any) -> list[str]:
    """STATE/REASON of each row."""
    return [f"{row.state.name}/{row.reason.name}" if row.reason else row.state.name for row in r.report.branches]


def test_every_item_is_called_and_the_answers_are_a_list_in_their_order() -> None:
    """Whoever answers first decides nothing; each item has a row, its share of the weight, and its key."""

    async def story() -> None:
        lab = Lab(plan({"x": {**each(), "weight": 3}, "y": {}}))
        lab.worker("x").plays(by_item({"a": 30, "b": 10, "c": 20}))
        lab.worker("y").plays(ends("y"))
        r = await lab.dispatch("p", {"list": ["a", "b", "c"]})
        assert r.value == {"x": [{"got": "a"}, {"got": "b"}, {"got": "c"}], "y": "y"}
        assert [(row.branch, row.item, row.item_key, row.weight) for row in r.report.branches] == [
            ("x", 0, "a", 1.0), ("x", 1, "b", 1.0), ("x", 2, "c", 1.0), ("y", None, "", 1.0),
        ]  # fmt: skip
        assert (r.complete, r.elapsed, r.coverage.planned, r.coverage.ratio) == (True, ms(30), 4, 1.0)
        lab.assert_nothing_left()

    run_virtual(story())


def test_identical_items_are_called_once() -> None:
    """By value, or by the key that the plan says makes them the same."""

    async def story() -> None:
        lab = Lab(plan({"x": each()}))
        lab.worker("x").plays(by_item())
        await lab.dispatch("p", {"list": ["a", "b", "a", "a"]})
        assert lab.worker("x").calls == ["a", "b"]
        lab = Lab(plan({"x": {**each(key="${item.id}", gather="map"), "input": "${item.id}"}}))
        lab.worker("x").plays(by_item())
        r = await lab.dispatch("p", {"list": [{"id": "a", "n": 1}, {"id": "b", "n": 2}, {"id": "a", "n": 3}]})
        assert r.value == {"x": {"a": {"got": "a"}, "b": {"got": "b"}}}

    run_virtual(story())


def test_item_and_index_are_read_by_input_and_output() -> None:
    """A call is made for what `input` makes of the item, and its answer becomes what `output` makes of both."""

    async def story() -> None:
        branch = {**each(), "input": "${item.name}", "output": {"n": "${index}", "of": "${item.id}", "is": "${output.got}"}}
        lab = Lab(plan({"x": branch}))
        lab.worker("x").plays(by_item())
        r = await lab.dispatch("p", {"list": [{"id": 7, "name": "a"}, {"id": 8, "name": "b"}]})
        assert r.value == {"x": [{"n": 0, "of": 7, "is": "a"}, {"n": 1, "of": 8, "is": "b"}]}

    run_virtual(story())


def test_so_many_run_at_once() -> None:
    """Two at a time: the third starts when the first has ended, in the order of the items."""

    async def story() -> None:
        lab = Lab(plan({"x": each(max_concurrency=2)}))
        lab.worker("x").plays(by_item({"a": 10, "b": 30, "c": 5, "d": 5}))
        r = await lab.dispatch("p", {"list": ["a", "b", "c", "d"]})
        assert [row.started_after for row in r.report.branches] == [0, 0, ms(10), ms(15)]
        assert r.elapsed == ms(30)

    run_virtual(story())


@pytest.mark.parametrize(
    ("tolerate", "required", "bad", "ok"),
    [
        (None, False, "a b", True),
        (None, False, "a b c", False),
        (None, True, "a", False),
        (None, True, "", True),
        (1, True, "a", True),
        (1, True, "a b", False),
        ("50%", False, "a", True),
        ("50%", False, "a b", False),
        (0, False, "c", False),
    ],
)
def test_so_many_may_fail(tolerate: Any, required: bool, bad: str, ok: bool) -> None:  # noqa: FBT001
    """As a count or a share. A node that must answer tolerates none unless it says so, another one all but one."""

    async def story() -> None:
        options = {} if tolerate is None else {"tolerate": tolerate}
        lab = Lab(plan({"x": {**each(**options), "required": required}, "y": {}}))
        lab.worker("x").plays(by_item(bad=bad))
        lab.worker("y").plays(ends("y", after=ms(50)))
        r = await lab.dispatch("p", {"list": ["a", "b", "c"]})
        answered = [{"got": item} for item in "abc" if item not in bad]
        if ok:
            assert r.value == {"x": answered, "y": "y"}
            assert r.coverage.ratio == pytest.approx((1 + len(answered) / 3) / 2)
        elif required:
            assert (r.report.completed_by, r.elapsed) == (C.UNREACHABLE, ms(10))
        else:
            assert (r.value, r.coverage.ratio) == ({"y": "y"}, 0.5)  # what the others answered went with it
            assert not any(row.merged for row in r.report.branches if row.branch == "x")
        lab.assert_nothing_left()

    run_virtual(story())


def test_a_node_that_has_failed_stops_the_rest_of_its_items() -> None:
    """One failure more than tolerated: who runs is cancelled, who waits is never called."""

    async def story() -> None:
        lab = Lab(plan({"x": each(tolerate=0, max_concurrency=2), "y": {}}))
        lab.worker("x").plays(by_item({"a": 5, "b": 100}, bad="a"))
        lab.worker("y").plays(ends("y", after=ms(50)))
        r = await lab.dispatch("p", {"list": ["a", "b", "c"]})
        assert fates(r) == ["FAILED/WORKER_ERROR", "CANCELLED/COMPLETION_MET", "SKIPPED/COMPLETION_MET", "SUCCEEDED"]
        assert (lab.worker("x").calls, lab.worker("x").cancelled, r.elapsed) == (["a", "b"], 1, ms(50))
        assert r.report.degraded.error
        lab.assert_nothing_left()

    run_virtual(story())


def test_a_query_of_death_kills_the_canary_and_not_all() -> None:
    """The others are let go by the first canary that answers; if none does they are never called."""

    async def story() -> None:
        lab = Lab(plan({"x": each(canary=2), "y": {}}))
        lab.worker("y").plays(ends("y"))
        lab.worker("x").plays(by_item({"a": 30, "b": 10}))
        r = await lab.dispatch("p", {"list": ["a", "b", "c", "d"]})
        assert [row.started_after for row in r.report.branches[:4]] == [0, 0, ms(10), ms(10)]
        lab.worker("x").plays(by_item(bad="a b c d"))
        lab.worker("x").calls.clear()
        r = await lab.dispatch("p", {"list": ["a", "b", "c", "d"]})
        assert lab.worker("x").calls == ["a", "b"]
        assert fates(r) == [*["FAILED/WORKER_ERROR"] * 2, *["SKIPPED/UPSTREAM_MISSING"] * 2, "SUCCEEDED"]
        lab.assert_nothing_left()

    run_virtual(story())


def test_what_has_answered_when_the_request_completes_is_merged() -> None:
    """At the plan's soft timeout 3 of 5 items are there: the result has them, coverage says 0.6."""

    async def story() -> None:
        lab = Lab(plan({"x": each()}, complete={"soft_timeout": "100ms"}))
        lab.worker("x").plays(by_item())
        r = await lab.dispatch("p", {"list": ["a", "X", "b", "Y", "c"]})
        assert r.value == {"x": [{"got": "a"}, {"got": "b"}, {"got": "c"}]}
        assert (r.elapsed, r.coverage.ratio, r.report.completed_by) == (ms(100), pytest.approx(0.6), C.SOFT_TIMEOUT)
        assert fates(r) == ["SUCCEEDED", "CANCELLED/SOFT_TIMEOUT"] * 2 + ["SUCCEEDED"]
        lab.assert_nothing_left()

    run_virtual(story())


def test_coverage_and_counts_are_of_items() -> None:
    """`until: coverage` and `count` see every item that answers."""

    async def story() -> None:
        for until, at in (({"coverage": 0.5}, ms(10)), ({"count": 2}, ms(10)), ("first", ms(5))):
            lab = Lab(plan({"x": each()}, complete={"until": until}))
            lab.worker("x").plays(by_item({"a": 5, "b": 10}))
            r = await lab.dispatch("p", {"list": ["a", "b", "X", "Y"]})
            assert (r.elapsed, r.coverage.succeeded) == (at, 1 if until == "first" else 2)
            lab.assert_nothing_left()

    run_virtual(story())


def test_the_time_of_each_item_is_its_own_and_the_soft_timeout_is_the_nodes() -> None:
    """`timeout` counts from an item's own send; `soft_timeout` from the first one's."""

    async def story() -> None:
        lab = Lab(plan({"x": {**each(max_concurrency=1), "timeout": "50ms"}}))
        lab.worker("x").plays(by_item())
        r = await lab.dispatch("p", {"list": ["X", "a", "Y"]})
        assert fates(r) == ["TIMED_OUT/HARD_TIMEOUT", "SUCCEEDED", "TIMED_OUT/HARD_TIMEOUT"]
        assert r.elapsed == ms(110)
        lab = Lab(plan({"x": {**each(max_concurrency=1), "soft_timeout": "25ms"}, "y": {}}))
        lab.worker("x").plays(by_item())
        lab.worker("y").plays(ends("y", after=ms(5)))
        r = await lab.dispatch("p", {"list": ["a", "b", "c", "d"]})
        assert (r.elapsed, r.value) == (ms(25), {"x": [{"got": "a"}, {"got": "b"}], "y": "y"})
        assert fates(r)[2:4] == ["CANCELLED/SOFT_TIMEOUT", "SKIPPED/SOFT_TIMEOUT"]
        lab.assert_nothing_left()

    run_virtual(story())


def test_a_default_stands_in_for_each_item_that_is_missing() -> None:
    """`if_missing: use` is per item: the list has it in its place, and it is no failure."""

    async def story() -> None:
        lab = Lab(plan({"x": {**each(tolerate=0), "if_missing": {"use": {"got": None}}}}))
        lab.worker("x").plays(by_item(bad="b"))
        r = await lab.dispatch("p", {"list": ["a", "b", "c"]})
        assert r.value == {"x": [{"got": "a"}, {"got": None}, {"got": "c"}]}
        assert (r.coverage.defaulted, r.report.degraded.defaulted) == (1, True)

    run_virtual(story())


@pytest.mark.parametrize(
    ("given", "fate"),
    [({"list": ["a", "b"]}, "FAILED/TOO_LARGE"), ({}, "SKIPPED/CONDITION_ERROR"), ({}, "")],
)
@pytest.mark.parametrize("required", [False, True])
def test_a_default_does_not_stand_in_for_a_whole_list(given: Any, fate: str, required: bool) -> None:  # noqa: FBT001
    """It has the shape of an item: a list that never came is missing, to the merge, to the floor, and to whoever reads it."""

    async def story() -> None:
        branch = {**each("${input.list}", max_items=1), "if_missing": {"use": {"got": None}}, "required": required}
        fed = {} if fate else {"for_each": {"items": "${branches.w.output}"}}
        reads = {"input": "${branches.x.output}"}
        lab = Lab(plan({"x": {**branch, **fed}, "w": {}, "reads": reads, "asks": {"if": "branches.x.state != 'DEFAULTED'"}}))
        lab.worker("w").plays(fails("INTERNAL"))
        lab.worker("asks").plays(ends(1))
        r = await lab.dispatch("p", given)
        state = fate or "SKIPPED/UPSTREAM_MISSING"
        if required:
            assert r.report.completed_by is C.UNREACHABLE
            return
        assert (r.value, fates(r)) == (
            {"asks": 1}, [state, "FAILED/WORKER_ERROR", "SKIPPED/UPSTREAM_MISSING", "SUCCEEDED"],
        )  # fmt: skip
        assert (r.coverage.defaulted, r.report.degraded.defaulted) == (0, False)

    run_virtual(story())


def test_an_empty_list_is_nothing_to_do() -> None:
    """Outside the denominator, like an `if` that is false; but whoever reads it reads an empty list. Alone it is EMPTY."""

    async def story() -> None:
        lab = Lab(plan({"x": each(), "y": {"input": {"all": "${branches.x.output}"}}}))
        lab.worker("y").plays(ends("y"))
        r = await lab.dispatch("p", {"list": []})
        assert (r.value, r.coverage.ratio, lab.worker("y").calls) == ({"y": "y"}, 1.0, [{"all": []}])
        assert fates(r) == ["SKIPPED/CONDITION", "SUCCEEDED"]
        lab = Lab(plan({"x": each()}))
        r = await lab.dispatch("p", {"list": []})
        assert (r.report.completed_by, r.reason) == (C.EMPTY, "NOTHING_TO_RUN")

    run_virtual(story())


@pytest.mark.parametrize(
    ("given", "fate", "why"),
    [
        ({"list": "abc"}, "SKIPPED/CONDITION_ERROR", "for_each: not a list"),
        ({}, "SKIPPED/CONDITION_ERROR", 'for_each: Key not found in map : "list"'),
        ({"list": ["a", "b", "c", "d"]}, "FAILED/TOO_LARGE", "for_each: 4 items are more than max_items 3"),
    ],
)
def test_what_is_no_list_or_too_long_is_not_called(given: Any, fate: str, why: str) -> None:
    """A list of more than max_items is refused as a whole and never cut in silence; the report says what was wrong."""

    async def story() -> None:
        lab = Lab(plan({"x": each(max_items=3), "y": {}}))
        lab.worker("y").plays(ends("y"))
        r = await lab.dispatch("p", given)
        assert fates(r) == [fate, "SUCCEEDED"]
        assert (r.report["x"].detail, lab.worker("x").calls) == (why, [])

    run_virtual(story())


def test_one_node_lists_and_the_next_is_called_for_each() -> None:
    """Find → fetch for each hit → rank what was fetched; confidence is that of the least sure."""

    async def story() -> None:
        branches = {
            "find": {},
            "fetch": each("${branches.find.output.hits}"),
            "rank": {"if": "branches.fetch.confidence < 0.6", "input": {"docs": "${branches.fetch.output}"}},
        }
        lab = Lab(plan(branches))
        lab.worker("find").plays(ends({"hits": ["a", "b"]}, after=ms(5)))
        lab.worker("fetch").plays(by_item({"a": 10, "b": 20}))
        lab.worker("rank").plays(ends("ranked"))
        r = await lab.dispatch("p", {})
        assert lab.worker("rank").calls == [{"docs": [{"got": "a"}, {"got": "b"}]}]
        assert (r.elapsed, r.report["rank"].started_after) == (ms(25), ms(25))

    run_virtual(story())


def test_lists_can_be_joined_to_one() -> None:
    """`gather: concat`, so that a ranking or a union sees the hits of all shards as one list."""

    async def story() -> None:
        lab = Lab(plan({"x": {**each(gather="concat"), "output": "${[output.got, output.got]}"}}, merge="concat"))
        lab.worker("x").plays(by_item({"a": 20}))
        r = await lab.dispatch("p", {"list": ["a", "b"]})
        assert r.value == ["a", "a", "b", "b"]

    run_virtual(story())


def test_a_report_of_very_many_items_is_short() -> None:
    """More than 50: one row that says how they ended, and those that failed."""

    async def story() -> None:
        lab = Lab(plan({"x": each(max_concurrency=10)}))
        lab.worker("x").plays(by_item(bad="i7 i9"))
        r = await lab.dispatch("p", {"list": [f"i{n}" for n in range(200)]})
        rows = r.report.branches
        assert [(row.item, row.state.name) for row in rows] == [(None, "SUCCEEDED"), (7, "FAILED"), (9, "FAILED")]
        assert rows[0].detail == "200 items: 198 SUCCEEDED, 2 FAILED"
        assert (rows[0].elapsed, r.coverage.planned, r.coverage.succeeded) == (ms(200), 200, 198)
        assert r.coverage.ratio == pytest.approx(0.99)

    run_virtual(story())


def test_the_caller_goes_away_in_the_middle() -> None:
    """Those that run are cancelled, those that wait never start."""

    async def story() -> None:
        import asyncio  # noqa: PLC0415  (of this story alone)

        lab = Lab(plan({"x": each(max_concurrency=2)}))
        lab.worker("x").plays(hangs())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await lab.dispatch("p", {"list": ["a", "b", "c"]})
        await lab.settle()
        assert (lab.worker("x").cancelled, len(lab.worker("x").calls)) == (2, 2)
        lab.assert_nothing_left()

    run_virtual(story())


@pytest.mark.parametrize(
    ("word", "by", "b", "c", "d", "at"),
    [
        ("settle", C.ALL, "SUCCEEDED", "SUCCEEDED", "SUCCEEDED", 60),
        ("stop_new", C.BRANCH_FAILURE, "SUCCEEDED", "SKIPPED/COMPLETION_MET", "SUCCEEDED", 50),
        ("cancel_all", C.BRANCH_FAILURE, "CANCELLED/COMPLETION_MET", "SKIPPED/COMPLETION_MET", "SUCCEEDED", 10),
    ],
)
def test_what_a_failed_branch_means_for_the_others(word: str, by: CompletedBy, b: str, c: str, d: str, at: int) -> None:
    """Nothing; no new ones, but those that run are waited for; or the end, with what is there if that is enough."""

    async def story() -> None:
        branches = {"a": {}, "b": {}, "c": {"input": "${branches.b.output}"}, "d": {}}
        lab = Lab(plan(branches, on_branch_failure=word))
        lab.worker("a").plays(fails("INTERNAL", after=ms(10)))
        lab.worker("b").plays(ends(1, after=ms(50)))
        lab.worker("c").plays(ends(2, after=ms(10)))
        lab.worker("d").plays(ends(3, after=ms(5)))
        r = await lab.dispatch("p", {})
        assert (r.report.completed_by, fates(r), r.elapsed) == (by, ["FAILED/WORKER_ERROR", b, c, d], ms(at))
        assert r.code.name == "OK"
        lab.assert_nothing_left()

    run_virtual(story())
