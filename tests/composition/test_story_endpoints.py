"""The branch stack with several endpoints: picking, the one attempt, and the order of the layers as an observer sees it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from dispatcher.assembly import assemble
from dispatcher.flow.dispatch import dispatch
from dispatcher.flow.ports import Reply
from dispatcher.flow.reaper import TaskReaper
from dispatcher.layers.types import Attempt, BranchRun
from dispatcher.model.plan import Catalogue, Node, Plan, Worker
from dispatcher.model.request import Refusal, Request
from dispatcher.wire.observers import Nobody
from fanmesh.model.fault import Code
from fanmesh.model.report import Report
from fanmesh.model.states import BranchReason, BranchState
from fanmesh.payload import Box
from fanmesh.testing import FakeWorker, VirtualClock, ends, fails, hangs, ms, run_virtual

R, S = BranchReason, BranchState


@dataclass(slots=True)
class Place(FakeWorker):
    """An endpoint whose connection can be lost."""

    up: bool = True

    @property
    def address(self) -> str:
        """Its name."""
        return self.name

    def ready(self) -> bool:
        """Whether it is connected."""
        return self.up


@dataclass
class Order(Nobody):
    """Writes down the order in which things are told."""

    told: list[str] = field(default_factory=list)

    def request_started(self, request: Request) -> None:  # noqa: D102
        self.told.append(f"request {request.id}")

    def branch_started(self, run: BranchRun) -> None:  # noqa: D102
        self.told.append(f"branch {run.node.id}")

    def attempt_started(self, attempt: Attempt) -> None:  # noqa: D102
        self.told.append(f"attempt {attempt.number}")

    def attempt_ended(self, attempt: Attempt) -> None:  # noqa: D102
        self.told.append("attempt cancelled" if attempt.cancelled else f"attempt ended {attempt.ended_at}")

    def branch_ended(self, run: BranchRun) -> None:  # noqa: D102
        self.told.append(f"branch {run.state.name}/{run.reason.name}")

    def request_ended(self, request: Request, report: Report | None, refusal: Refusal | None, now: int) -> None:  # noqa: ARG002, D102
        self.told.append(f"request ended {now}")


def run(places: list[Place], times: int = 1, node: Node | None = None, observer: Any = None) -> list[Reply]:
    """Dispatch a plan of one branch so many times, one after the other."""

    async def main() -> list[Reply]:
        clock, reaper = VirtualClock(asyncio.get_running_loop()), TaskReaper()  # type: ignore[arg-type]  # run_virtual's
        engine = assemble(clock=clock, endpoints=lambda _: places, observer=observer or Nobody(), reaper=reaper)
        plan = Plan("p", (node or Node("a", Worker("a", "dns:///a:1")),), latency=ms(1000))
        replies = []
        for number in range(times):
            request = Request(f"r{number}", "p", Box.of(None), clock.now())
            replies.append(await dispatch(engine, Catalogue({"p": plan}, {}), request))
        assert await reaper.drain(1.0) == 0
        return replies

    return run_virtual(main())


def endpoints(replies: list[Reply]) -> list[str]:
    """Where the branch was sent each time."""
    return [reply.report["a"].endpoint for reply in replies if reply.report is not None]


def test_endpoints_take_turns() -> None:
    """A worker's endpoints are called in turn."""
    places = [Place(name).plays(ends(1)) for name in ("one", "two", "three")]
    assert endpoints(run(places, 5)) == ["one", "two", "three", "one", "two"]  # type: ignore[arg-type]


def test_one_that_is_down_is_passed_over() -> None:
    """An endpoint that is not connected is not called while another one is."""
    up, down = Place("up"), Place("down", up=False)
    up.plays(ends(1))
    down.plays(ends(1))
    assert endpoints(run([down, up], 3)) == ["up", "up", "up"]


def test_all_are_down() -> None:
    """If none is connected the one whose turn it is is called all the same: it may have come back."""
    places = [Place(name, up=False) for name in ("one", "two")]
    for place in places:
        place.plays(fails("UNAVAILABLE", "connection refused"))
    assert endpoints(run(places, 2)) == ["one", "two"]


def test_no_address() -> None:
    """A worker whose name resolves to nothing: the branch fails as never sent, naming the target."""
    (reply,) = run([])
    assert reply.report is not None
    row = reply.report["a"]
    assert (row.state, row.reason, row.code, row.endpoint) == (S.FAILED, R.WORKER_ERROR, Code.UNAVAILABLE, "")
    assert "dns:///a:1" in row.detail


@pytest.mark.parametrize(
    ("script", "end"),
    [
        (ends(1, after=ms(5)), ["attempt ended 5000000", "branch SUCCEEDED/NONE"]),
        (fails("INTERNAL", after=ms(5)), ["attempt ended 5000000", "branch FAILED/WORKER_ERROR"]),
        (hangs(), ["attempt cancelled", "branch TIMED_OUT/HARD_TIMEOUT"]),
    ],
)
def test_what_an_observer_is_told(script: Any, end: list[str]) -> None:
    """Request, branch, attempt, and back in reverse; when the branch ends its state is final."""
    order = Order()
    place = Place("one")
    place.plays(script)
    run([place], node=Node("a", Worker("a"), timeout=ms(50)), observer=order)
    told = [line for line in order.told if not line.startswith("request ended")]  # a cancelled branch ends just after the reply
    assert told == ["request r0", "branch a", "attempt 0", *end]
    assert order.told.count(next(line for line in order.told if line.startswith("request ended"))) == 1
