"""Streaming workers: how parts join, when they count, and what is left of a stream that breaks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.layers.types import Gate
from fanmesh.model.coverage import Coverage
from fanmesh.model.events import End, PartArrived
from fanmesh.model.fault import Code
from fanmesh.model.outcome import Outcome, Part, Success
from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason, BranchState, CompletedBy, EmitMode
from fanmesh.model.values import Value
from fanmesh.testing import Lab, Script, ends, fails, hangs, ms, run_virtual, streams
from fanmesh.testing.scripts import PartTaker, virtual_sleep
from tests.kit.plans import Recorder, plan

R, S, C = BranchReason, BranchState, CompletedBy

ONE = plan("s", streaming=["s"])


class Snapshots:
    """A watch that reads every update at once."""

    def __init__(self, lab: Lab) -> None:
        self._clock = lab.clock
        self.values: list[tuple[int, Value]] = []
        self.rows: list[tuple[int, str, BranchState, float]] = []

    def update(self, read: Any) -> None:
        """The result so far has changed."""
        self.values.append((self._clock.now(), read()[0]))

    def branch(self, row: BranchReport, read: Any) -> None:
        """A branch was sent, or has ended."""
        coverage: Coverage = read()
        self.rows.append((self._clock.now(), row.branch, row.state, coverage.ratio))


@pytest.mark.fanmesh(ONE)
@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([[1], [2], [3]], [1, 2, 3]),
        (["Hel", "lo"], "Hello"),
        ([{"a": [1], "b": {"c": "x"}}, {"a": [2], "b": {"c": "y", "d": 4}}], {"a": [1, 2], "b": {"c": "xy", "d": 4}}),
        ([{"a": 1}, {"b": None}, {"b": 2.5}], {"a": 1, "b": 2.5}),
        ([7], 7),
    ],
)
async def test_append(lab: Lab, parts: list[Any], whole: Any) -> None:
    """APPEND: lists and strings concatenate, maps merge by key recursively."""
    lab.worker("s").plays(streams(parts, every=ms(10), confidence=0.7))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed, r.complete) == ({"s": whole}, ms(10 * len(parts)), True)
    assert r.report["s"].confidence == 0.7


@pytest.mark.fanmesh(ONE)
@pytest.mark.parametrize("parts", [[1, 2], [{"a": True}, {"a": False}], ["x", ["y"]], [{"a": {"b": 1}}, {"a": "x"}]])
async def test_parts_that_cannot_be_joined(lab: Lab, parts: list[Any]) -> None:
    """Numbers and booleans cannot be appended to: the branch ends there as INVALID_RESPONSE, and its parts are not merged."""
    lab.worker("s").plays(streams(parts, every=ms(10), then=hangs()))
    r = await lab.dispatch("p")
    assert (r.report["s"].state, r.report["s"].reason, r.elapsed) == (S.FAILED, R.INVALID_RESPONSE, ms(20))
    assert "cannot be appended" in r.report["s"].detail
    assert not r.report["s"].merged


@pytest.mark.fanmesh(ONE)
async def test_replace(lab: Lab) -> None:
    """REPLACE: each part is the whole output so far, whatever its type."""
    lab.worker("s").plays(streams([1, {"a": 2}, [3]], every=ms(10), replace=True))
    assert (await lab.dispatch("p")).value == {"s": [3]}


@pytest.mark.fanmesh(ONE)
async def test_a_stream_without_parts(lab: Lab) -> None:
    """A stream that ends well without a part has answered null."""
    lab.worker("s").plays(streams([]))
    r = await lab.dispatch("p")
    assert (r.value, r.report["s"].state) == ({"s": None}, S.SUCCEEDED)


@pytest.mark.fanmesh(plan({"s": {"timeout": "25ms"}, "b": {}}, streaming=["s"]))
async def test_a_stream_cut_by_its_timeout(lab: Lab) -> None:
    """A stream that is too slow has timed out: it did not break, so its parts are not kept."""
    lab.worker("s").plays(streams([[1], [2], [3]], every=ms(10)))
    lab.worker("b").plays(ends(1, after=ms(50)))
    r = await lab.dispatch("p")
    assert (r.report["s"].state, r.report["s"].reason, r.value) == (S.TIMED_OUT, R.HARD_TIMEOUT, {"b": 1})
    assert lab.worker("s").cancelled == 1


@pytest.mark.fanmesh(plan("s b", streaming=["s"], accept={"min_success": 2}))
async def test_a_kept_stream_is_no_success(lab: Lab) -> None:
    """A broken stream that is kept counts neither as a success nor for coverage."""
    lab.worker("s").plays(streams([[1]], then=fails("UNAVAILABLE")))
    lab.worker("b").plays(ends(1, after=ms(50)))
    r = await lab.dispatch("p")
    assert (r.report.completed_by, r.code, r.coverage.succeeded) == (C.UNREACHABLE, Code.UNAVAILABLE, 0)


@pytest.mark.fanmesh(plan({"s": {"output": {"n": "${size(output)}"}}}, streaming=["s"]))
async def test_an_output_mapping_sees_the_whole(lab: Lab) -> None:
    """A mapped stream is mapped once, as a whole, when it has ended."""
    lab.worker("s").plays(streams([[1], [2], [3]], every=ms(10)))
    watch = Snapshots(lab)
    r = await lab.dispatch("p", emit=EmitMode.SNAPSHOT, watch=watch)
    assert r.value == {"s": {"n": 3}}
    assert [value for _, value in watch.values] == [{"s": {"n": 3}}]


@pytest.mark.fanmesh(plan({"s": {"output": "${output.x}"}, "b": {}}, streaming=["s"]))
async def test_an_output_mapping_that_fails(lab: Lab) -> None:
    """A stream whose whole cannot be mapped is an answer that cannot be used."""
    lab.worker("s").plays(streams([{"y": 1}]))
    lab.worker("b").plays(ends(1))
    r = await lab.dispatch("p")
    assert (r.report["s"].reason, r.value) == (R.INVALID_RESPONSE, {"b": 1})
    assert r.report["s"].detail.startswith("output: ")


@pytest.mark.fanmesh(plan({"s": {"output": "${size(output)}"}, "b": {}}, streaming=["s"]))
async def test_a_mapped_stream_that_breaks(lab: Lab) -> None:
    """Of a mapped stream that breaks nothing is kept: half an answer cannot be mapped as the whole."""
    lab.worker("s").plays(streams([[1]], then=fails("UNAVAILABLE")))
    lab.worker("b").plays(ends(1))
    r = await lab.dispatch("p")
    assert (r.report["s"].reason, r.value, r.report.degraded.names()) == (R.STREAM_BROKEN, {"b": 1}, ("error",))


@pytest.mark.fanmesh(plan("s b", streaming=["s"], merge="union"))
async def test_the_merge_must_take_the_whole(lab: Lab) -> None:
    """A stream whose whole the plan's merge cannot take is an answer that cannot be used; so is a broken one."""
    lab.worker("b").plays(ends([2], after=ms(20)))
    lab.worker("s").plays(streams([{"a": "x"}, {"a": "y"}]))
    r = await lab.dispatch("p")
    assert (r.report["s"].reason, r.value) == (R.INVALID_RESPONSE, [2])
    lab.worker("s").plays(streams([{"a": "x"}], then=fails("UNAVAILABLE")))
    r = await lab.dispatch("p")
    assert (r.report["s"].reason, r.value) == (R.INVALID_RESPONSE, [2])


@pytest.mark.fanmesh(plan("s b", streaming=["s"]))
async def test_snapshots_show_parts_as_they_come(lab: Lab) -> None:
    """A snapshot holds the parts of running streams, and the last one is the result."""
    lab.worker("s").plays(streams(["a", "b", "c"], every=ms(10)))
    lab.worker("b").plays(ends(1, after=ms(15)))
    watch = Snapshots(lab)
    r = await lab.dispatch("p", emit=EmitMode.SNAPSHOT, watch=watch)
    assert watch.values == [
        (ms(10), {"s": "a"}),
        (ms(15), {"s": "a", "b": 1}),
        (ms(20), {"s": "ab", "b": 1}),
        (ms(30), {"s": "abc", "b": 1}),
        (ms(30), {"s": "abc", "b": 1}),
    ]
    assert watch.values[-1][1] == r.value


@pytest.mark.fanmesh(plan({"s": {"on_stream_failure": "discard"}, "b": {}}, streaming=["s"]))
async def test_a_discarded_stream_shows_nothing_before_its_end(lab: Lab) -> None:
    """With `discard` the parts are held back until the stream has ended well, so no snapshot has to be taken back."""
    lab.worker("s").plays(streams(["a", "b"], every=ms(10)))
    lab.worker("b").plays(ends(1, after=ms(5)))
    watch = Snapshots(lab)
    r = await lab.dispatch("p", emit=EmitMode.SNAPSHOT, watch=watch)
    assert [value for at, value in watch.values if at < ms(20)] == [{"b": 1}]
    assert r.value == {"s": "ab", "b": 1}


@pytest.mark.fanmesh(plan("a b"))
async def test_branch_events(lab: Lab) -> None:
    """A watcher is told when each branch is sent and when it ends, with the coverage of that moment."""
    lab.worker("a").plays(ends(1, after=ms(10)))
    lab.worker("b").plays(fails(after=ms(20)))
    watch = Snapshots(lab)
    await lab.dispatch("p", emit=EmitMode.BRANCH_EVENTS, watch=watch)
    assert watch.rows == [
        (0, "a", S.PENDING, 0.0),
        (0, "b", S.PENDING, 0.0),
        (ms(10), "a", S.SUCCEEDED, 0.5),
        (ms(20), "b", S.FAILED, 0.5),
    ]


async def ignore_the_gate(_: Value, take: PartTaker) -> Outcome:
    """A worker's reader that goes on after it was told that nobody wants more."""
    try:
        await take(Part([1], False, 0))
        await virtual_sleep(ms(50))
    except asyncio.CancelledError:
        stopped = await take(Part([2], False, 1))
        assert stopped is not None
        assert stopped.code is Code.CANCELLED
        raise
    return Success(None, streamed=True)


@pytest.mark.fanmesh(plan({"s": {"timeout": "20ms"}, "b": {}}, streaming=["s"]))
async def test_the_gate_closes(lab: Lab) -> None:
    """A part that comes after its branch has ended is refused with STOP, and changes nothing."""
    lab.worker("s").plays(Script(ignore_the_gate, "ignores"))
    lab.worker("b").plays(ends(1, after=ms(60)))
    r = await lab.dispatch("p")
    assert (r.value, r.report["s"].reason) == ({"b": 1}, R.HARD_TIMEOUT)
    assert Gate.STOP.value == "stop"


def test_what_the_log_holds() -> None:
    """The log has every part that fits, numbered from 0, then an end that says `streamed` and has no value of its own."""
    recorder = Recorder()

    async def main() -> None:
        lab = Lab(ONE, aggregate=recorder.open)
        lab.worker("s").plays(streams([[1], [2]], every=ms(10)))
        await lab.dispatch("p")

    run_virtual(main())
    log = recorder.requests[0].log
    parts = [event.what for event in log if isinstance(event.what, PartArrived)]
    assert [(part.part_seq, part.value, part.attempt) for part in parts] == [(0, [1], 0), (1, [2], 0)]
    (end,) = [event.what for event in log if isinstance(event.what, End)]
    assert (end.streamed, end.value, end.state) == (True, None, S.SUCCEEDED)
