"""A call for each item of a list, and what else may be said of a branch: each call has it for itself, the branch once."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dispatcher.layers.types import Attempt, Sink
from dispatcher.model.request import Tightening
from dispatcher.policies.overload import Stage
from dispatcher.wire.worker_call import key_of
from fanmesh.model.coverage import Coverage
from fanmesh.model.delta import Told as ToldSoFar
from fanmesh.model.delta import fold
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import AttemptKind, BranchReason, BranchState, CompletedBy, EmitMode
from fanmesh.model.values import Value
from fanmesh.testing import FakeWorker, Lab, LabResult, Script, ends, hangs, ms, run_virtual
from fanmesh.testing.scripts import PartTaker, virtual_sleep
from tests.kit.plans import plan

R, S, C = BranchReason, BranchState, CompletedBy

LIST = {"for_each": {"items": "${input}"}}


def told(does: Callable[[str, PartTaker], Awaitable[Outcome]]) -> Script:
    """A worker that does something with the item it is sent."""

    async def play(value: Value, take: PartTaker) -> Outcome:
        return await does(str(value), take)

    return Script(play, "told")


def answers(takes: int = 10, *, bad: str = "", hung: str = "", sure: float | None = None) -> Script:
    """Answers in capitals after so many ms; items in `bad` fail, those in `hung` hang."""

    async def does(item: str, _take: PartTaker) -> Outcome:
        await virtual_sleep(ms(5_000 if item in hung.split() else takes))
        if item in bad.split():
            return Fault(FaultKind.WORKER_ERROR, Code.NOT_FOUND, "no")
        return Success(item.upper(), sure)

    return told(does)


def fates(r: LabResult, branch: str = "x") -> list[str]:
    """STATE/REASON of each row of a branch."""
    return [f"{row.state.name}/{row.reason.name}" for row in r.report.branches if row.branch == branch]


def asked(config: dict[str, Any], script: Script, items: list[str], **rest: Any) -> tuple[LabResult, Lab]:
    """One request about these items; then time passes, and nothing may be left."""

    async def story() -> tuple[LabResult, Lab]:
        lab = Lab(config)
        lab.worker("x").plays(script)
        if "y" in config["workers"]:
            lab.worker("y").plays(ends("y", after=ms(5)))
        r = await lab.dispatch("p", items, **rest)
        await virtual_sleep(ms(20_000))
        lab.assert_nothing_left()
        return r, lab

    return run_virtual(story())


# ---------------------------------------------------------------- writes

WRITE = {"x": {"effect": "write"}}


class Keyed(FakeWorker):
    """Writes down the idempotency key of each attempt."""

    async def call(self, attempt: Attempt, sink: Sink) -> Outcome:
        """As before."""
        keys.append(key_of(attempt))
        return await super().call(attempt, sink)


keys: list[str] = []


def test_each_item_of_a_write_has_an_idempotency_key_of_its_own() -> None:
    """The same for its further attempts, another for each other item; a long key tells its item from one that begins alike."""
    keys.clear()
    tried: set[str] = set()

    async def does(item: str, _take: PartTaker) -> Outcome:
        if item == "b" and item not in tried:
            tried.add(item)
            return Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, sent=False)
        return Success(item)

    async def story() -> None:
        lab = Lab(plan({"x": LIST}, workers=WRITE, policies={"r": {"extends": "standard"}}, default_policy="r"))
        lab._workers["x"] = Keyed("x", clock=lab.clock).plays(told(does))
        r = await lab.dispatch("p", ["a", "b", "w" * 100 + "1", "w" * 100 + "2"])
        assert r.complete
        await lab.dispatch("p", ["a"])

    run_virtual(story())
    assert len(keys) == 6
    assert len(set(keys)) == 5
    assert keys.count("lab-1/p/x/b") == 2
    assert {"lab-1/p/x/a", "lab-2/p/x/a"} <= set(keys)


@pytest.mark.parametrize("tolerate", [0, 1])
def test_writes_of_a_branch_that_failed_are_left_behind(tolerate: int) -> None:
    """They may have been done, so they are not cut off; what was not sent never is."""
    branch = {"for_each": {"items": "${input}", "tolerate": tolerate, "max_concurrency": 2}}
    r, lab = asked(plan({"x": branch, "y": {}}, workers=WRITE), answers(hung="b", bad="a"), ["a", "b", "c"])
    if tolerate:
        assert (fates(r), lab.worker("x").calls) == (
            ["FAILED/WORKER_ERROR", "TIMED_OUT/REQUEST_DEADLINE", "SUCCEEDED/NONE"], ["a", "b", "c"],
        )  # fmt: skip
    else:
        assert fates(r) == ["FAILED/WORKER_ERROR", "PENDING/SOFT_TIMEOUT", "SKIPPED/COMPLETION_MET"]
        assert (r.elapsed, lab.worker("x").calls, lab.worker("x").cancelled) == (ms(10), ["a", "b"], 1)  # at its own end


@pytest.mark.parametrize("takes", [20, 60, 200])
def test_a_write_that_was_left_behind_stays_so(takes: int) -> None:
    """Whether it has ended when the request completes at 100 ms or not: rows, coverage and the degraded bits say the same."""

    async def does(item: str, _take: PartTaker) -> Outcome:
        await virtual_sleep(ms(10 if item == "a" else takes))
        return Fault(FaultKind.WORKER_ERROR, Code.NOT_FOUND) if item == "a" else Success(item)

    async def story() -> None:
        branch = {"for_each": {"items": "${input}", "tolerate": 0}}
        lab = Lab(plan({"x": branch, "y": {}}, workers=WRITE))
        lab.worker("x").plays(told(does))
        lab.worker("y").plays(ends("y", after=ms(100)))
        r = await lab.dispatch("p", ["a", "b"])
        assert (r.value, fates(r)) == ({"y": "y"}, ["FAILED/WORKER_ERROR", "PENDING/SOFT_TIMEOUT"])
        assert (r.coverage.pending, r.coverage.succeeded, r.report.degraded.soft_timeout) == (1, 1, True)
        await virtual_sleep(ms(500))
        lab.assert_nothing_left()

    run_virtual(story())


def test_writes_that_run_when_the_request_completes() -> None:
    """PENDING/SOFT_TIMEOUT, each for itself; those that were not sent are SKIPPED."""
    branch = {"for_each": {"items": "${input}", "max_concurrency": 2}, "timeout": "400ms"}
    config = plan({"x": branch, "y": {}}, workers=WRITE, complete={"soft_timeout": "100ms"})
    r, lab = asked(config, answers(hung="b c"), ["a", "b", "c", "d"])
    assert fates(r) == ["SUCCEEDED/NONE", "PENDING/SOFT_TIMEOUT", "PENDING/SOFT_TIMEOUT", "SKIPPED/SOFT_TIMEOUT"]
    assert (r.elapsed, r.value, lab.worker("x").calls) == (ms(100), {"x": ["A"], "y": "y"}, ["a", "b", "c"])
    assert (r.coverage.pending, r.coverage.skipped) == (2, 1)


def test_the_caller_of_writes_goes_away() -> None:
    """One that was sent goes on to its own hard timeout; the next is never sent."""

    async def story() -> None:
        lab = Lab(plan({"x": {"for_each": {"items": "${input}", "max_concurrency": 1}, "timeout": "400ms"}}, workers=WRITE))
        lab.worker("x").plays(answers(200))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await lab.dispatch("p", ["a", "b"])
        assert (lab.worker("x").running, lab.worker("x").cancelled) == (1, 0)
        await virtual_sleep(ms(500))
        assert (lab.worker("x").calls, lab.worker("x").cancelled) == (["a"], 0)
        lab.assert_nothing_left()

    run_virtual(story())


# ---------------------------------------------------------------- attempts and answers


def test_each_item_is_retried_for_itself() -> None:
    """And keeps its place among those that run at once while it waits."""
    tries: dict[str, int] = {}

    async def does(item: str, _take: PartTaker) -> Outcome:
        tries[item] = tries.get(item, 0) + 1
        await virtual_sleep(ms(10))
        return Fault.unavailable("not yet") if item == "b" and tries[item] < 3 else Success(item)

    async def story() -> None:
        policy = {"extends": "standard", "breaker": None, "retry": {"max_attempts": 3}}
        branch = {"for_each": {"items": "${input}", "max_concurrency": 1}}
        lab = Lab(plan({"x": branch}, policies={"r": policy}, default_policy="r"))
        lab.chance(0.0)
        lab.worker("x").plays(told(does))
        r = await lab.dispatch("p", ["a", "b", "c"])
        assert [len(row.attempts) for row in r.report.branches] == [1, 3, 1]
        assert [row.started_after for row in r.report.branches] == [0, ms(10), ms(40)]
        assert r.complete
        lab.assert_nothing_left()

    run_virtual(story())


def test_each_item_is_hedged_for_itself() -> None:
    """The one that is slow, at another replica; the loser is cancelled, and the item has answered once."""

    async def story() -> None:
        hedged = {"extends": "standard", "breaker": None, "hedge": {"after": "20ms", "max_extra_load": 1.0}}
        lab = Lab(plan({"x": LIST}, policies={"h": hedged}, default_policy="h"))
        slow: list[str] = []

        async def does(item: str, _take: PartTaker) -> Outcome:
            first = item == "b" and not slow
            slow.extend([item] * (item == "b"))
            await virtual_sleep(ms(500 if first else 10))
            return Success(item)

        lab.worker("x").plays(told(does)).replicas(2)
        r = await lab.dispatch("p", ["a", "b", "c"])
        assert (r.value, r.elapsed) == ({"x": ["a", "b", "c"]}, ms(30))
        assert [[attempt.kind for attempt in row.attempts] for row in r.report.branches] == [
            [AttemptKind.FIRST], [AttemptKind.FIRST, AttemptKind.HEDGE], [AttemptKind.FIRST],
        ]  # fmt: skip
        lab.assert_nothing_left()

    run_virtual(story())


def test_equal_items_of_several_requests_are_one_call() -> None:
    """Those that fly at once are joined, later ones are given the answer again; each row says so."""

    async def story() -> None:
        lab = Lab(plan({"x": {**LIST, "cache": {"ttl": "30s"}}}))
        lab.worker("x").plays(answers())
        one, two = await asyncio.gather(lab.dispatch("p", ["a", "b"]), lab.dispatch("p", ["b", "c"]))
        three = await lab.dispatch("p", ["c", "d", "a"])
        assert sorted(map(str, lab.worker("x").calls)) == ["a", "b", "c", "d"]
        assert [r.value for r in (one, two, three)] == [{"x": ["A", "B"]}, {"x": ["B", "C"]}, {"x": ["C", "D", "A"]}]
        said = [[note.what for note in row.decisions] for row in three.report.branches]
        assert said == [["cache_hit"], [], ["cache_hit"]]
        assert three.complete
        lab.assert_nothing_left()

    run_virtual(story())


def test_items_that_the_cache_knows_let_the_others_go() -> None:
    """A canary whose answer is kept has answered: nothing was sent, and the rest is."""

    async def story() -> None:
        lab = Lab(plan({"x": {"for_each": {"items": "${input}", "canary": 1}, "cache": {"ttl": "30s"}}}))
        lab.worker("x").plays(answers())
        await lab.dispatch("p", ["a"])
        r = await lab.dispatch("p", ["a", "b", "c"])
        assert (r.elapsed, r.value) == (ms(10), {"x": ["A", "B", "C"]})

    run_virtual(story())


# ---------------------------------------------------------------- streams


class Told:
    """A watch that reads every update at once."""

    def __init__(self) -> None:
        self.values: list[tuple[Value, Coverage]] = []

    def update(self, read: Callable[[], tuple[Value, Coverage]]) -> None:
        """The merged value has changed."""
        self.values.append(copy.deepcopy(read()))

    def branch(self, row: Any, coverage: Callable[[], Coverage]) -> None:
        """Not asked for."""


def streamed() -> Script:
    """Parts that name the item, one each 10 ms (b: 15 ms); c breaks after its first."""

    async def does(item: str, take: PartTaker) -> Outcome:
        for seq in range(3):
            await virtual_sleep(ms(15 if item == "b" else 10))
            if item == "c" and seq == 1:
                return Fault(FaultKind.STREAM_BROKEN, Code.INTERNAL, "broke")
            if (fault := await take(Part([f"{item}{seq}"], False, seq))) is not None:
                return fault
        return Success(None, streamed=True)

    return told(does)


@pytest.mark.parametrize("gather", ["list", "concat", "map"])
def test_parts_of_items_are_shown_as_they_come(gather: str) -> None:
    """Each in its item's place, whoever is faster; of an item whose stream broke they are kept. The last is the result."""
    watch = Told()
    branch = {"for_each": {"items": "${input}", "gather": gather}}
    r, _ = asked(plan({"x": branch}, streaming=["x"]), streamed(), ["a", "b", "c"], emit=EmitMode.SNAPSHOT, watch=watch)
    a, b, c = ["a0", "a1", "a2"], ["b0", "b1", "b2"], ["c0"]
    whole: dict[str, Any] = {"list": [a, b, c], "concat": a + b + c, "map": {"a": a, "b": b, "c": c}}
    assert r.value == {"x": whole[gather]} == watch.values[-1][0]
    early: dict[str, Any] = {
        "list": [["a0", "a1"], ["b0"], ["c0"]],
        "concat": ["a0", "a1", "b0", "c0"],
        "map": {"a": ["a0", "a1"], "b": ["b0"], "c": ["c0"]},
    }
    assert {"x": early[gather]} in [value for value, _ in watch.values]
    assert fates(r) == ["SUCCEEDED/NONE", "SUCCEEDED/NONE", "FAILED/STREAM_BROKEN"]
    assert r.report.degraded.names() == ("error", "partial_branch")


def test_deltas_of_items_fold_to_the_result() -> None:
    """A list of lists that grows in its middle, told as what has changed."""
    watch, told_so_far, value, ops = Told(), ToldSoFar(), None, 0
    r, _ = asked(plan({"x": LIST}, streaming=["x"]), streamed(), ["a", "b", "c"], emit=EmitMode.SNAPSHOT, watch=watch)
    for snapshot, coverage in watch.values:
        news = told_so_far.news(snapshot, coverage)
        if news is None:
            continue
        value, ops = fold(value, news), ops + len(news)
        told_so_far.heard(snapshot, coverage)
        assert value == snapshot
    assert (value, ops > 3) == (r.value, True)


# ---------------------------------------------------------------- completion


@pytest.mark.parametrize(
    ("until", "by", "at", "value"),
    [
        ({"predicate": "has(merged.x) && size(merged.x) >= 2"}, C.PREDICATE, 20, ["A", "B"]),
        ({"predicate": "coverage >= 0.375"}, C.PREDICATE, 30, ["A", "B", "C"]),
        ({"confidence": 0.9}, C.CONFIDENCE, 10, ["A"]),
        ({"quiet": "15ms"}, C.QUIET, 55, ["A", "B", "C", "D"]),
        ("required", C.REQUIRED, 40, ["A", "B", "C", "D"]),
    ],
)
def test_rules_that_look_at_answers_see_each_item(until: Any, by: CompletedBy, at: int, value: list[str]) -> None:
    """A predicate sees what has been gathered so far; silence is counted from the last item; `required` is of the branch."""
    branch = {"for_each": {"items": "${input}", "max_concurrency": 1}, "required": until == "required"}
    config = plan({"x": branch, "y": {}}, complete={"until": until})
    config["plans"]["p"]["branches"]["y"] = {"if": "true"}

    async def story() -> None:
        lab = Lab(config)
        lab.worker("x").plays(answers(sure=0.9))
        lab.worker("y").plays(hangs())
        r = await lab.dispatch("p", ["a", "b", "c", "d"])
        assert (r.report.completed_by, r.elapsed, r.value) == (by, ms(at), {"x": value})
        lab.assert_nothing_left()

    run_virtual(story())


def test_a_caller_may_ask_for_more() -> None:
    """One that makes the branch required tolerates no failure; `min_success` and `min_coverage` are of items."""
    config = plan({"x": LIST, "y": {}})
    for tight, ok in (
        (Tightening(), True),
        (Tightening(required=frozenset({"x"})), False),
        (Tightening(min_success=4), True),
        (Tightening(min_success=5), False),
        (Tightening(min_coverage=0.87), True),
        (Tightening(min_coverage=0.88), False),
    ):
        r, _ = asked(config, answers(bad="c"), ["a", "b", "c", "d"], tightening=tight)
        assert (r.code is Code.OK, r.report.completed_by) == (ok, C.ALL if ok else C.UNREACHABLE), tight


def test_an_overloaded_process_drops_the_branch_and_not_items() -> None:
    """Optional ones, where another must answer: nobody is called; one that must is called for each of its items."""

    async def story() -> None:
        for required, fate in ((False, ["REJECTED/OVERLOAD"]), (True, ["SUCCEEDED/NONE"] * 2)):
            optional: dict[str, Any] = {"y": {"required": not required}, "z": {"input": "${branches.y.output}"}}
            lab = Lab(plan({"x": {**LIST, "required": required}, **optional}))
            for name in "yz":
                lab.worker(name).plays(ends(1))
            lab.worker("x").plays(answers())
            lab.stage = Stage.NO_OPTIONAL
            r = await lab.dispatch("p", ["a", "b"])
            assert (fates(r), len(lab.worker("x").calls)) == (fate, 2 * required)
            lab.assert_nothing_left()

    run_virtual(story())


def test_a_key_that_cannot_be_had_is_the_branchs_failure() -> None:
    """Nobody knows which items are the same then, so none is called."""
    r, lab = asked(plan({"x": {"for_each": {"items": "${input}", "key": "${item.id}"}}, "y": {}}), answers(), ["a"])
    assert (fates(r), lab.worker("x").calls) == (["SKIPPED/CONDITION_ERROR"], [])
    assert r.report["x"].detail.startswith("for_each.key: item 0: ")


def test_an_input_that_cannot_be_mapped_is_its_items_own_failure() -> None:
    """The others are called; a canary that cannot even be sent lets nobody go."""
    branch = {"for_each": {"items": "${input}", "key": "${index}"}, "input": "${item.id}"}
    r, lab = asked(plan({"x": branch, "y": {}}), answers(), [{"id": "a"}, {}, {"id": "c"}])  # type: ignore[list-item]
    assert fates(r) == ["SUCCEEDED/NONE", "SKIPPED/CONDITION_ERROR", "SUCCEEDED/NONE"]
    assert (r.value, r.report.degraded.names(), lab.worker("x").calls) == ({"x": ["A", "C"], "y": "y"}, ("error",), ["a", "c"])
    branch["for_each"]["canary"] = 1  # type: ignore[index]
    r, lab = asked(plan({"x": branch, "y": {}}), answers(), [{}, {"id": "b"}])  # type: ignore[list-item]
    assert fates(r) == ["SKIPPED/CONDITION_ERROR", "SKIPPED/UPSTREAM_MISSING"]
    assert lab.worker("x").calls == []
