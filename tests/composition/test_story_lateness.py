"""Late timers, and an aggregation that answers late: neither changes what is decided, nor when it counts as decided."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.assembly import assemble
from dispatcher.flow.ports import AggregationSession, Deliver
from dispatcher.layers.types import BranchRun
from dispatcher.wire.aggregator_embedded import EmbeddedSession
from dispatcher.wire.observers import Nobody
from fanmesh.model.events import Alarm, Arm, Effect, Event, Result, Verdict
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, CompletedBy
from fanmesh.model.values import Value
from fanmesh.testing import Lab, Script, VirtualLoop, ends, hangs, ms, run_virtual, streams
from fanmesh.testing.scripts import PartTaker, virtual_sleep
from tests.kit.plans import Recorder, gives, plan, watched

R, S, C = BranchReason, BranchState, CompletedBy


def stall(ns: int) -> None:
    """The loop is held up: time passes, and no timer fires."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.now += ns


def stalls(script: Script, *, at: int, length: int) -> Script:
    """Holds the loop up while it plays."""

    async def play(given: Value, take: PartTaker) -> Outcome:
        await virtual_sleep(at)
        stall(length)
        return await script.play(given, take)

    return Script(play, f"stalls({script!r})")


def dispatched(config: dict[str, Any], scripts: dict[str, Script], **rest: Any) -> Any:
    """Dispatch on virtual time; the workers play these."""

    async def main() -> Any:
        lab = Lab(config, **rest)
        for name, script in scripts.items():
            lab.worker(name).plays(script)
        result = await lab.dispatch("p")
        await virtual_sleep(ms(5000))
        lab.assert_nothing_left()
        return result

    return run_virtual(main())


def test_a_late_soft_timeout() -> None:
    """A soft timeout of 300 ms that fires at 450 ms completes as of 300 ms, before the answer that came in between."""
    config = plan({"a": {"soft_timeout": "300ms"}, "b": {}})
    r = dispatched(config, {"a": stalls(ends(1), at=ms(250), length=ms(200)), "b": ends(2)})
    assert (r.report.completed_by, r.value, r.report["a"].reason) == (C.SOFT_TIMEOUT, {"b": 2}, R.SOFT_TIMEOUT)
    assert r.report["a"].elapsed == ms(300)


def test_a_late_hard_timeout() -> None:
    """A hard timeout of 300 ms that fires late ends its branch as of 300 ms; an answer at 450 ms is too late."""
    config = plan({"a": {"timeout": "300ms"}, "b": {}})
    r = dispatched(config, {"a": stalls(ends(1), at=ms(250), length=ms(200)), "b": ends(2, after=ms(600))})
    assert (r.report["a"].state, r.report["a"].reason, r.report["a"].elapsed) == (S.TIMED_OUT, R.HARD_TIMEOUT, ms(300))


def test_a_late_stop() -> None:
    """What comes when stop has passed is not looked at: the request ended at stop."""
    r = dispatched(plan("a b"), {"a": stalls(ends(1), at=ms(900), length=ms(200)), "b": ends(2)})
    assert (r.report.completed_by, r.report["a"].reason, r.report["a"].elapsed) == (C.HARD_TIMEOUT, R.REQUEST_DEADLINE, ms(975))


def test_a_part_that_comes_when_all_is_over() -> None:
    """A part that arrives when a rule has been met, though nobody noticed, is not part of the result."""

    async def play(_: Value, take: PartTaker) -> Outcome:
        await virtual_sleep(ms(10))
        await take(Part([1], False, 0))
        stall(ms(500))
        await take(Part([2], False, 1))
        return Success(None, streamed=True)

    config = plan({"s": {"soft_timeout": "300ms"}, "b": {}}, streaming=["s"])
    r = dispatched(config, {"s": Script(play, "parts"), "b": ends(2)})
    assert (r.report.completed_by, r.value) == (C.SOFT_TIMEOUT, {"b": 2})


def test_a_send_that_comes_when_all_is_over() -> None:
    """A branch whose send is held up until the plan's soft timeout has passed is not started: the request is complete."""

    class Held(Nobody):
        """Holds the loop up when a branch begins."""

        def branch_started(self, run: BranchRun) -> None:
            """It does."""
            if run.node.id == "a":
                stall(ms(200))

    async def main() -> Any:
        lab = Lab(plan("a b", complete={"soft_timeout": "100ms"}, accept={"min_success": 0}))
        lab._engine = assemble(
            clock=lab.clock, endpoints=lambda worker: (lab.worker(worker.name),), observer=Held(), reaper=lab.reaper
        )
        lab.worker("a").plays(hangs())
        lab.worker("b").plays(hangs())
        return await lab.dispatch("p")

    r = run_virtual(main())
    assert (r.report.completed_by, r.value) == (C.SOFT_TIMEOUT, {})
    assert [(row.state, row.reason, row.started_after) for row in r.report.branches] == [(S.SKIPPED, R.SOFT_TIMEOUT, None)] * 2


def test_alarms_of_branches_that_have_ended() -> None:
    """Timeouts of branches that have answered are not in the log."""
    recorder = Recorder()
    config = plan({"a": {"soft_timeout": "50ms", "timeout": "80ms"}, "b": {}})
    r = dispatched(config, {"a": ends(1, after=ms(10)), "b": ends(2, after=ms(100))}, aggregate=recorder.open)
    assert r.complete
    assert not [event for event in recorder.requests[0].log if isinstance(event.what, Alarm)]


def test_the_transport_runs_ahead() -> None:
    """An attempt's own timer that fires just before ours decides nothing: the branch ends at its timeout, by flow's alarm."""
    early = Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, "no answer in time", origin=Origin.LOCAL)
    config = plan({"a": {"timeout": "300ms"}, "b": {}})
    r = dispatched(config, {"a": gives(early, after=ms(298)), "b": ends(2)})
    assert (r.report["a"].state, r.report["a"].reason, r.elapsed) == (S.TIMED_OUT, R.HARD_TIMEOUT, ms(300))


# ---------------------------------------------------------------- an aggregation that takes its time


class Late:
    """A fold whose effects arrive `delay` ns after the event that caused them, as those of a remote one do."""

    mode = EmbeddedSession.mode
    expression_errors = 0

    def __init__(self, deliver: Deliver, delay: int, *, twice: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._delay = delay
        self._twice = twice
        self._fold = EmbeddedSession(self._later)

    def _later(self, effect: Effect) -> None:
        self._loop.call_later(self._delay / 1e9, self._tell, effect)

    def _tell(self, effect: Effect) -> None:
        self._deliver(effect)
        if self._twice:
            self._deliver(effect)

    def feed(self, event: Event) -> None:
        """Fold it; say so later."""
        self._fold.feed(event)

    def finish(self) -> None:
        """Nothing more comes."""

    def close(self) -> None:
        """Nobody waits."""


def slowly(delay: int, *, twice: bool = False) -> Any:
    """What the Lab is given to aggregate with."""

    def open_(deliver: Deliver, _end: int) -> AggregationSession:
        return Late(deliver, delay, twice=twice)

    return open_


def test_what_came_after_the_verdict_is_late() -> None:
    """A verdict that arrives late has not applied what was logged since: that is late, not merged, and not missing."""
    config = plan("a b c", complete={"until": "first"})
    scripts = {"a": ends(1, after=ms(10)), "b": ends(2, after=ms(20)), "c": hangs()}
    r = dispatched(config, scripts, aggregate=slowly(ms(15)))
    assert (r.value, r.report.completed_by, r.elapsed) == ({"a": 1}, C.FIRST, ms(25))
    assert (r.report["b"].state, r.report["b"].reason) == (S.CANCELLED, R.LATE)
    assert (r.report["c"].state, r.report["c"].reason) == (S.CANCELLED, R.COMPLETION_MET)
    assert (r.coverage.succeeded, r.coverage.cancelled, r.complete) == (1, 2, True)


def test_a_send_after_the_verdict_is_late_too() -> None:
    """A branch that was sent after the verdict, which nobody knew of yet, counts as not started; its row shows the attempt."""
    config = plan({"a": {"required": True, "if": "int(attributes.n) > 1"}, "b": {}}, attributes=["n"])
    r = dispatched(config, {"b": hangs()}, aggregate=slowly(ms(15)))
    b = r.report["b"]
    assert (r.report.completed_by, b.state, b.reason) == (C.UNREACHABLE, S.SKIPPED, R.COMPLETION_MET)
    assert (r.coverage.skipped, r.coverage.started, len(b.attempts), b.attempts[0].cancelled) == (1, 0, 1, True)
    assert b.elapsed == 0


def test_a_late_failure_is_no_failure() -> None:
    """A branch that failed after the verdict was left behind by it."""
    config = plan({"a": {}, "b": {"timeout": "20ms"}}, complete={"until": "first"})
    r = dispatched(config, {"a": ends(1, after=ms(10)), "b": hangs()}, aggregate=slowly(ms(15)))
    assert (r.report["b"].state, r.report["b"].reason, r.complete) == (S.CANCELLED, R.COMPLETION_MET, True)


def test_effects_that_are_said_again() -> None:
    """After a replay everything is said again: the first verdict and the first result count, alarms only repeat."""
    config = plan(
        {f"b{i}": {} for i in range(3)},
        latency="500ms",
        merge_reserve="0",
        complete={"until": {"coverage": 0.6}, "grace": {"min": 0.2, "max": 0.2}},
    )
    scripts = {"b0": ends(1, after=ms(100)), "b1": ends(1, after=ms(100)), "b2": hangs()}
    r = dispatched(config, scripts, aggregate=slowly(ms(5), twice=True))
    assert (r.report.completed_by, r.elapsed, r.coverage.succeeded) == (C.COVERAGE, ms(185), 2)


def test_a_replaced_grace() -> None:
    """Of two wishes for a grace the newest counts; the older alarm is not logged."""
    logged: list[Event] = []

    class Changes(EmbeddedSession):
        """Asks for a grace at 30 ms, then for one at 60 ms instead."""

        __slots__ = ("_given",)

        def __init__(self, deliver: Deliver) -> None:
            super().__init__(deliver)
            self._given = deliver

        def feed(self, event: Event) -> None:
            logged.append(event)
            super().feed(event)
            if event.seq == 1:
                self._given(Arm(AlarmKind.GRACE, ms(30)))
                self._given(Arm(AlarmKind.GRACE, ms(60)))

    r = dispatched(plan("a"), {"a": ends(1, after=ms(100))}, aggregate=lambda deliver, _end: Changes(deliver))
    assert r.complete
    assert [(event.at, event.what) for event in logged if isinstance(event.what, Alarm)] == [(ms(60), Alarm(AlarmKind.GRACE))]


def test_a_result_before_its_verdict() -> None:
    """A result is taken with its verdict, never before."""

    class Hasty(EmbeddedSession):
        """Says a result first."""

        __slots__ = ("_given",)

        def __init__(self, deliver: Deliver) -> None:
            super().__init__(deliver)
            self._given = deliver

        def feed(self, event: Event) -> None:
            if event.seq == 1:
                self._given(Result("wrong", None))  # type: ignore[arg-type]  # nobody may look at it
            super().feed(event)

    r = dispatched(plan("a"), {"a": ends(1)}, aggregate=lambda deliver, _end: Hasty(deliver))
    assert r.value == {"a": 1}


def test_the_caller_goes_between_verdict_and_result() -> None:
    """Who goes between verdict and result is told by the account that the request was complete, and gets nothing."""

    class Silent(Late):
        """Never gives a result."""

        def _tell(self, effect: Effect) -> None:
            if isinstance(effect, Verdict):
                super()._tell(effect)

    async def main() -> None:
        lab = Lab(plan("a"), aggregate=lambda deliver, _end: Silent(deliver, 0))
        seen = watched(lab)
        lab.worker("a").plays(ends(1))
        call = asyncio.ensure_future(lab.dispatch("p"))
        await virtual_sleep(ms(50))
        assert not call.done()
        call.cancel()
        await asyncio.wait([call])
        ((_, report, refusal, _),) = seen.ended
        assert report is not None
        assert refusal is not None
        assert (report.completed_by, refusal.code, report.coverage.succeeded) == (C.ALL, Code.CANCELLED, 1)

    run_virtual(main())


@pytest.mark.parametrize(("length", "b"), [(8, R.NONE), (100, R.NONE), (399, R.NOT_STARTED_NO_TIME)])
def test_a_late_end_of_what_a_node_waits_for(length: int, b: BranchReason) -> None:
    """What is cut to leave others their min_time leaves it as of then: 400 ms, however late the timer; but not below 5 ms."""
    config = plan({"a": {}, "b": {"if": "!branches.a.ok", "min_time": "400ms"}, "c": {}})
    c = stalls(ends(3), at=ms(574), length=ms(1 + length))
    r = dispatched(config, {"a": hangs(), "b": ends(2), "c": c})
    assert (r.report["a"].reason, r.report["a"].elapsed) == (R.HARD_TIMEOUT, ms(575))
    assert r.report["b"].reason is b


def test_a_late_end_before_a_stream_that_may_be_retried() -> None:
    """The same for a node whose attempts race from the start."""
    branches = {"a": {}, "b": {"if": "!branches.a.ok", "min_time": "400ms"}, "c": {}}
    config = plan(branches, streaming=["b"], default_policy="standard")
    c = stalls(ends(3), at=ms(574), length=ms(20))
    r = dispatched(config, {"a": hangs(), "b": streams([[1], [2]], every=ms(1)), "c": c})
    assert (r.report["b"].reason, r.value["b"]) == (R.NONE, [1, 2])


def test_waiting_for_a_place_takes_from_the_time_that_was_left() -> None:
    """Of the 400 ms that a left it b waits 50 for the worker's one place: what remains is not worth it."""
    branches = {"a": {}, "b": {"if": "!branches.a.ok", "min_time": "400ms"}, "c": {"worker": "b"}}
    config = plan(branches, workers={"b": {"limit": {"in_flight": 1, "queue": 2}}})
    r = dispatched(config, {"a": hangs(), "b": ends(2, after=ms(625))})
    assert (r.report["c"].reason, r.report["b"].reason) == (R.NONE, R.NOT_STARTED_NO_TIME)
    assert r.elapsed == ms(625)
