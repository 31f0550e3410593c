"""`until: predicate`, `confidence` and `quiet` through the whole engine: when they complete, what is left, and who is told."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.model.request import Tightening
from fanmesh.model.events import Alarm
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, CompletedBy
from fanmesh.testing import Lab, Script, ends, fails, hangs, ms, run_virtual, streams
from fanmesh.testing.scripts import virtual_sleep
from tests.composition.test_story_lateness import slowly, stalls
from tests.kit.plans import Recorder, plan, watched

A, C, R, S = AlarmKind, CompletedBy, BranchReason, BranchState


def until(rule: Any, branches: str = "a b c", *, streaming: str = "", **rest: Any) -> dict[str, Any]:
    """A plan that is complete by `rule`."""
    return plan(branches, streaming=streaming.split(), complete={"until": rule}, **rest)


def dispatched(config: dict[str, Any], scripts: dict[str, Script], *, asks: dict[str, Any] | None = None, **lab: Any) -> Any:
    """Dispatch on virtual time; the workers play these, and nothing is left."""

    async def main() -> Any:
        made = Lab(config, **lab)
        for name, script in scripts.items():
            made.worker(name).plays(script)
        result = await made.dispatch("p", **(asks or {}))
        await virtual_sleep(ms(5000))
        made.assert_nothing_left()
        return result

    return run_virtual(main())


@pytest.mark.fanmesh(until({"predicate": "size(merged.s) >= 3"}, "a s", streaming="s"))
async def test_a_predicate_over_a_running_stream(lab: Lab) -> None:
    """Enough has come: the stream is cancelled at its worker, what it has sent is the answer, and nothing is missing."""
    lab.worker("a").plays(ends(1, after=ms(5)))
    lab.worker("s").plays(streams([[n] for n in range(9)], every=ms(10)))
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by, r.value) == (ms(30), C.PREDICATE, {"a": 1, "s": [0, 1, 2]})
    row = r.report["s"]
    assert (row.state, row.reason, row.merged) == (S.CANCELLED, R.COMPLETION_MET, True)
    assert r.complete
    assert not r.report.degraded
    assert r.coverage.ratio == 0.5


FAST = until({"predicate": 'attributes.mode == "fast" || coverage > 0.6'}, attributes=["mode", "tenant"])


@pytest.mark.parametrize(("mode", "took"), [("fast", 10), ("", 20)])
@pytest.mark.parametrize("tightening", [Tightening(), Tightening(min_coverage=0.1)])
def test_a_predicate_over_attributes(mode: str, took: int, tightening: Tightening) -> None:
    """Callers decide by an attribute, also those that ask for a higher floor; only what is read goes with the request."""
    scripts = {"a": ends(1, after=ms(10)), "b": ends(2, after=ms(20)), "c": hangs()}
    recorder = Recorder()
    asks = {"attributes": {"mode": mode, "tenant": "x"} if mode else {"tenant": "x"}, "tightening": tightening}
    r = dispatched(FAST, scripts, asks=asks, aggregate=recorder.open)
    assert (r.elapsed, r.report.completed_by) == (ms(took), C.PREDICATE)
    assert recorder.requests[0].log[0].what.attributes == (("mode", mode),)  # type: ignore[union-attr]  # the start


@pytest.mark.fanmesh(until({"predicate": "merged.a.score > 1"}))
async def test_a_predicate_that_cannot_be_evaluated(lab: Lab) -> None:
    """It is false each time, counted each time, and the request ends as if the rule were not there."""
    seen = watched(lab)
    lab.worker("a").plays(ends({"n": 1}, after=ms(10)))
    lab.worker("b").plays(ends(2, after=ms(20)))
    lab.worker("c").plays(fails("INTERNAL", after=ms(30)))
    r = await lab.dispatch("p")
    assert (r.elapsed, r.report.completed_by) == (ms(30), C.ALL)
    assert seen.errors == ["predicate"] * 3


def test_an_evaluation_that_is_put_off_is_made() -> None:
    """Nothing else happens at 60 ms: the alarm alone completes."""
    rule = {"predicate": "size(merged) == 2", "min_interval": "50ms"}
    r = dispatched(until(rule), {"a": ends(1, after=ms(10)), "b": ends(2, after=ms(20)), "c": hangs()})
    assert (r.elapsed, r.report.completed_by) == (ms(60), C.PREDICATE)


def test_quiet() -> None:
    """50 ms after the last answer."""
    r = dispatched(until({"quiet": "50ms"}), {"a": ends(1, after=ms(10)), "b": ends(2, after=ms(40)), "c": hangs()})
    assert (r.elapsed, r.report.completed_by, r.value) == (ms(90), C.QUIET, {"a": 1, "b": 2})


def test_quiet_with_a_late_timer() -> None:
    """The loop is held up over the end of the quiet: decided as of 60 ms, without the answer that would have come later."""
    scripts = {"a": ends(1, after=ms(10)), "b": stalls(ends(2), at=ms(30), length=ms(200)), "c": hangs()}
    r = dispatched(until({"quiet": "50ms"}), scripts)
    assert (r.elapsed, r.report.completed_by, r.value) == (ms(230), C.QUIET, {"a": 1})
    assert (r.report["b"].reason, r.report["c"].elapsed) == (R.COMPLETION_MET, ms(60))


def test_quiet_with_effects_that_come_late() -> None:
    """As from afar: alarms are armed late, said twice, and moved on; the verdict stays."""
    scripts = {"a": ends(1, after=ms(10)), "s": streams([[1], [2]], every=ms(25), then=hangs())}
    config = until({"quiet": "30ms"}, "a s", streaming="s")
    for delay in (1, 7, 40):
        r = dispatched(config, scripts, aggregate=slowly(ms(delay), twice=True))
        assert (r.report.completed_by, r.value) == (C.QUIET, {"a": 1, "s": [1, 2]})
        assert r.report["s"].state is S.CANCELLED


def test_a_long_stream_arms_one_alarm_at_a_time() -> None:
    """A thousand parts within 500 ms wake nobody a thousand times: one alarm is logged for each 50 ms."""
    recorder = Recorder()
    scripts = {"a": ends(1), "s": streams([[n] for n in range(1000)], every=ms(1) // 2, then=hangs())}
    r = dispatched(until({"quiet": "50ms"}, "a s", streaming="s"), scripts, aggregate=recorder.open)
    assert (r.elapsed, r.report.completed_by) == (ms(550), C.QUIET)
    alarms = [event for event in recorder.requests[0].log if event.what == Alarm(A.QUIET)]
    assert 2 <= len(alarms) <= 12


def test_a_grace_and_a_quiet_are_armed_side_by_side() -> None:
    """One alarm of a kind does not take the place of one of another kind."""
    branches = {"a": {}, "b": {}, "c": {}, "d": {}}
    grace = {"until": [{"quiet": "200ms"}, {"coverage": 0.5}], "grace": {"min": 0.5, "max": 0.5}}
    scripts = {"a": ends(1, after=ms(10)), "b": ends(2, after=ms(20)), "c": hangs(), "d": hangs()}
    r = dispatched(plan(branches, latency="1s", complete=grace), scripts)
    assert (r.elapsed, r.report.completed_by) == (ms(220), C.QUIET)
    r = dispatched(plan(branches, latency="225ms", merge_reserve="25ms", complete=grace), scripts)
    assert (r.elapsed, r.report.completed_by) == (ms(110), C.COVERAGE)


@pytest.mark.parametrize(("soft", "reason"), [("59ms", R.SOFT_TIMEOUT), ("60ms", R.SOFT_TIMEOUT), ("61ms", R.COMPLETION_MET)])
def test_a_soft_timeout_at_the_instant_of_quiet(soft: str, reason: BranchReason) -> None:
    """Both are softs, and pass together."""
    config = plan({"a": {}, "b": {"soft_timeout": soft}, "c": {}}, complete={"until": {"quiet": "50ms"}})
    r = dispatched(config, {"a": ends(1, after=ms(10)), "b": hangs(), "c": hangs()})
    assert (r.elapsed, r.report["b"].reason, r.report["c"].reason) == (ms(60), reason, R.COMPLETION_MET)


def test_confidence() -> None:
    """The first answer that is sure enough completes; one that is not is merged all the same."""
    scripts = {"a": ends(1, after=ms(10), confidence=0.5), "b": ends(2, after=ms(20), confidence=0.9), "c": hangs()}
    r = dispatched(until({"confidence": 0.9}, merge="best_confidence"), scripts)
    assert (r.elapsed, r.report.completed_by, r.value) == (ms(20), C.CONFIDENCE, 2)
