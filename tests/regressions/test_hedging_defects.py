"""The five defects that were found in other people's hedging (hedge-python 0.3.0): ours must not have them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fanmesh.model.times import SECOND
from fanmesh.testing import Lab, ends, fails, hangs, ms
from tests.kit.plans import plan


def conf(after: str, load: float = 1.0, *, retry: Any = None) -> dict[str, Any]:
    """A plan of one hedged branch."""
    policy = {"extends": "hedged", "breaker": None, "retry": retry, "hedge": {"after": after, "max_extra_load": load}}
    return plan({"a": {}}, policies={"p": policy}, workers={"a": {"policy": "p"}})


@pytest.mark.fanmesh(conf("20ms"))
@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED"])
async def test_a_failing_primary_does_not_beat_a_healthy_hedge(lab: Lab, code: str) -> None:
    """The first to *answer* wins, and not the first to end."""
    lab.chance(0.1)
    one, two = lab.worker("a").replicas(2)
    one.plays(fails(code, after=ms(21)))
    two.plays(ends("good", after=ms(10)))
    r = await lab.dispatch("p")
    assert (r.value, r.elapsed) == ({"a": "good"}, ms(30))


@pytest.mark.fanmesh(conf("20ms"))
async def test_a_caller_s_cancel_reaches_both_attempts(lab: Lab) -> None:
    """None is orphaned: both workers see the cancellation in the instant in which the caller goes."""
    lab.worker("a").plays(hangs()).replicas(2)
    task = asyncio.ensure_future(lab.dispatch("p"))
    await asyncio.sleep(0.03)
    task.cancel()
    await asyncio.wait([task])
    await lab.settle()
    assert [place.cancelled for place in lab.worker("a").members] == [1, 1]


@pytest.mark.fanmesh(conf("20ms", 0.05))
async def test_the_budget_holds_at_five_requests_a_second(lab: Lab) -> None:
    """A share of the requests that were made, for five minutes of a slow worker, and in each of them: 5 %, and no more."""
    lab.worker("a").plays(ends(1, after=ms(100))).replicas(2)
    places = lab.worker("a").members
    for minute in range(1, 6):
        for _ in range(300):
            began = lab.clock.now()
            await lab.dispatch("p")
            await asyncio.sleep(0.2 - (lab.clock.now() - began) / SECOND)
        made = sum(len(place.calls) for place in places)
        assert 0 < made - 300 * minute <= 15 * minute
    assert lab.clock.now() >= 299 * SECOND


@pytest.mark.fanmesh(conf("p95"))
async def test_the_estimator_sees_attempts_and_not_hedged_totals(lab: Lab) -> None:
    """A third of the attempts hang: hedged requests take 40 ms, yet the worker's latencies say that a third takes longer."""
    one, two = lab.worker("a").replicas(2)
    latencies = lab.books.of("a").latencies
    for _ in range(60):
        latencies.observe(ms(10), 0)
    one.plays(hangs())
    two.plays(ends(1, after=ms(10)))
    totals = []
    for _ in range(60):
        r = await lab.dispatch("p")
        assert r.value == {"a": 1}
        totals.append(r.elapsed)
    assert latencies._sum.n_done == 60 + sum(1 for _ in two.calls)
    assert latencies._sum.n_cut == len(one.calls)
    assert latencies._sum.slowest == ms(10)  # an answered attempt took 10 ms, and no total is among them
    assert max(totals) > ms(15)


@pytest.mark.fanmesh(conf("20ms"))
async def test_a_hedge_goes_to_another_endpoint(lab: Lab) -> None:
    """A copy beside the original at the same place waits behind the same trouble."""
    lab.worker("a").plays(ends(1, after=ms(50))).replicas(3)
    for _ in range(50):
        r = await lab.dispatch("p")
        addresses = [attempt.endpoint for attempt in r.report["a"].attempts]
        assert len(addresses) == len(set(addresses)) == 2
