"""Policies of a serving dispatcher across a reload, and what /metrics says of attempts that were not made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dispatcher.config import Config
from fanmesh.model.fault import Code, Fault
from fanmesh.model.times import SECOND
from fanmesh.runtime.clock import now_ns
from fanmesh.workers import worker
from tests.kit.calls import ask
from tests.kit.mesh import Mesh, Told, plan, running, yielded
from tests.kit.roles import echo
from tests.kit.scraping import scrape

pytestmark = pytest.mark.asyncio


class Slow:
    """Answers when the gate is opened; counts who has come."""

    def __init__(self) -> None:
        self.came = 0
        self.gate = asyncio.Event()

        @worker("slow")
        async def slow(_: Any) -> int:
            self.came += 1
            await self.gate.wait()
            return self.came

        self.worker = slow


async def until(condition: Callable[[], bool]) -> None:
    """Return when it holds; it has to within ten seconds."""
    deadline = now_ns() + 10 * SECOND
    while not condition():
        assert now_ns() < deadline, "it did not come about"
        await yielded()


def without(config: Config, name: str) -> Config:
    """The same, without a worker and its plan."""
    catalogue = config.catalogue
    workers = {key: one for key, one in catalogue.workers.items() if key != name}
    plans = {key: one for key, one in catalogue.plans.items() if key != name}
    return replace(config, catalogue=replace(catalogue, workers=workers, plans=plans))


def limited(config: Config, name: str, places: int | None) -> Config:
    """The same, with another limit of a worker."""
    catalogue = config.catalogue
    old = catalogue.workers[name]
    new = replace(old, limit=replace(old.limit, in_flight=places))
    plans = {
        key: replace(one, nodes=tuple(replace(n, worker=new) if n.worker.name == name else n for n in one.nodes))
        for key, one in catalogue.plans.items()
    }
    return replace(config, catalogue=replace(catalogue, workers={**catalogue.workers, name: new}, plans=plans))


def queued(mesh: Mesh, name: str) -> tuple[int, int]:
    """Places that are out, and branches that wait."""
    queue = mesh.dispatcher.books.of(name).queue
    return queue.running, len(queue)


@pytest.mark.parametrize("places", [2, None])
async def test_a_reload_lets_those_in_who_wait_under_a_limit_that_is_raised_or_gone(places: int | None) -> None:
    """At once, and not when the call that is out has ended; places that are given back afterwards are counted right."""
    slow = Slow()
    workers = {"slow": Told(slow.worker, {"limit": {"in_flight": 1, "queue": 1}})}
    async with running(workers, {"p": plan("slow", budget="20s")}) as mesh:
        asked = [asyncio.ensure_future(mesh.dispatch(ask())) for _ in range(2)]
        await until(lambda: slow.came == 1 and queued(mesh, "slow") == (1, 1))
        await mesh.dispatcher.reload(limited(mesh.dispatcher.config, "slow", places))
        await until(lambda: slow.came == 2)
        assert queued(mesh, "slow") == (2, 0)
        slow.gate.set()
        for one in asked:
            assert (await one).report.complete
        assert queued(mesh, "slow") == (0, 0)


async def test_a_reload_without_a_worker_forgets_it() -> None:
    """Its books go, and so its metrics: names that come and go with each rollout must not pile up."""
    plans = {"a": plan("a"), "b": plan("b")}
    async with running({"a": echo, "b": echo}, plans, default_policy="standard") as mesh:
        for name in ("a", "b"):
            assert (await mesh.dispatch(ask(plan=name))).report.complete
        assert set(mesh.dispatcher.books.workers) == {"a", "b"}
        await mesh.dispatcher.reload(without(mesh.dispatcher.config, "b"))
        assert set(mesh.dispatcher.books.workers) == {"a"}
        assert (await mesh.dispatch(ask(plan="a"))).report.complete


async def test_why_there_was_no_further_attempt_is_in_the_report_and_in_the_metrics() -> None:
    """Three attempts failed, and the branch with them: `retry_denied`, `max_attempts`."""

    @worker("broken")
    async def broken(_: Any) -> None:
        raise Fault.unavailable("down")

    policy = {"retry": {"backoff": {"initial": "1ms"}}}
    workers = {"broken": Told(broken, {"policy": "p"})}
    async with running(workers, {"p": plan("broken")}, policies={"p": policy}, server={"metrics": "127.0.0.1:0"}) as mesh:
        heard = await mesh.dispatch(ask(failure_in_message=True))
        (row,) = heard.report.branches
        shown = await scrape(mesh.dispatcher.metrics_port)
    assert [attempt.code for attempt in row.attempts] == [Code.UNAVAILABLE] * 3
    assert [(one.what, one.why) for one in row.decisions][-1] == ("retry_denied", "max_attempts")
    assert shown.value("fanmesh_policy_decisions_total", worker="broken", what="retry_denied", why="max_attempts") == 1
