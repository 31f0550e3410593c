"""Policies over real connections, where the network is part of the rule: injected faults, a spare connection, Explain."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dispatcher.model.policy import Hedge
from fanmesh.model.fault import Code
from fanmesh.model.states import AttemptKind
from fanmesh.v1 import dispatcher_pb2
from fanmesh.workers import Context, Worker, worker
from tests.kit.calls import ask
from tests.kit.mesh import Told, plan, running
from tests.kit.roles import echo

pytestmark = pytest.mark.asyncio

ABORT = (("fanmesh-fault-abort-code", "DATA_LOSS"),)
EVERY_ABORT = {"abort": {"percent": 100, "code": "INTERNAL"}}


@pytest.mark.parametrize(
    ("headers", "metadata", "code"),
    [(True, ABORT, Code.DATA_LOSS), (True, (), Code.INTERNAL), (False, ABORT, Code.INTERNAL)],
)
async def test_a_caller_chooses_the_fault_only_where_it_may(headers: bool, metadata: Any, code: Code) -> None:  # noqa: FBT001  (a table)
    """`headers: true` lets metadata say which code an injected abort has; otherwise it does nothing."""
    workers = {"w": Told(echo, {"faults": {**EVERY_ABORT, "headers": headers}})}
    async with running(workers, {"p": plan("w")}) as mesh:
        heard = await mesh.dispatch(ask(failure_in_message=True), metadata=metadata)
        (row,) = heard.report.branches
    assert (row.status.code, row.status.message) == (code, "injected")
    assert mesh.dispatcher.books.of("w").counts["fault", "abort"] == 1


async def test_an_injected_delay_ends_at_the_attempts_own_deadline() -> None:
    """A delay longer than `per_try_timeout` is a timeout of that attempt, and the next one is made, and delayed, too."""
    policy = {"retry": {"max_attempts": 2, "per_try_timeout": "40ms", "backoff": {"initial": "1ms"}}}
    workers = {"w": Told(echo, {"policy": "p", "faults": {"delay": {"percent": 100, "of": "5s"}}})}
    async with running(workers, {"p": plan("w")}, policies={"p": policy}) as mesh:
        heard = await mesh.dispatch(ask(failure_in_message=True))
        (row,) = heard.report.branches
    assert [attempt.kind for attempt in row.attempts] == [AttemptKind.FIRST, AttemptKind.RETRY]
    assert mesh.dispatcher.books.of("w").counts["fault", "delay"] == 2


class Twice:
    """Hangs on its first call until it is cancelled, and answers every other one, with where it was called from."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.cancelled = asyncio.Event()

        @worker("twice")
        async def twice(ctx: Context) -> dict[str, int]:
            self.kinds.append(ctx.metadata["fanmesh-attempt-kind"])
            if len(self.kinds) > 1:
                return {"n": len(self.kinds)}
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            raise AssertionError("nobody sets it")

        self.worker: Worker[Any] = twice


async def test_an_opaque_worker_is_hedged_over_a_second_connection() -> None:
    """One endpoint to us, two connections to it: the hedge has its own, wins, and the first attempt is cancelled there."""
    told = Twice()
    hedge = {"after": f"{Hedge().minimum // 1_000_000}ms", "max_extra_load": 1.0}
    policies = {"h": {"retry": {"max_attempts": 2}, "hedge": hedge}}
    workers = {"w": Told(told.worker, {"policy": "h", "endpoints": "opaque"})}
    async with running(workers, {"p": plan("w")}, policies=policies) as mesh:
        main, spare = mesh.dispatcher._endpoints.of("w")
        assert (main.address, main.spare, spare.spare) == (spare.address, False, True)
        heard = await mesh.dispatch(ask())
        await told.cancelled.wait()
    (row,) = heard.report.branches
    assert [(a.kind, a.won, a.cancelled) for a in row.attempts] == [
        (AttemptKind.FIRST, False, True),
        (AttemptKind.HEDGE, True, False),
    ]
    assert told.kinds == ["first", "hedge"]
    assert [(d.what, d.why) for d in row.decisions] == [("hedge", "slow")]


async def test_explain_says_what_a_branch_passes_through() -> None:
    """The layers of each branch with their numbers; what is off is not there."""
    limit = {"in_flight": 8, "queue": 2, "endpoint_in_flight": 4, "rate": {"per_second": 50, "burst": 5}}
    workers = {
        "all": Told(echo, {"policy": "hedged", "limit": limit, "faults": {**EVERY_ABORT, "seed": 7}}),
        "none": Told(echo, {"policy": "none"}),
    }
    async with running(workers, {"p": plan("all", "none")}) as mesh:
        explained = await mesh.explain(ask())
    assert isinstance(explained, dispatcher_pb2.ExplainResponse)
    everything, nothing = explained.nodes
    assert list(everything.layers) == [
        "observe",
        "queue (in_flight 8, waiting 2)",
        "attempts (at most 3, retry CANCELLED, UNAVAILABLE, hedge after p95, at most 5% more)",
        "pick (p2c_ewma, breaker 5 in a row or over 0.5 of ≥ 20 in 10s, endpoint_in_flight 4, rate 50/s, burst 5)",
        "faults (delay 0%, abort 100%, seed 7)",
        "shape",
        "leaf",
    ]
    assert list(nothing.layers) == ["observe", "attempts (1)", "pick (round_robin)", "shape", "leaf"]
