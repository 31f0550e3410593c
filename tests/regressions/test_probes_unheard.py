"""What the simulation has found: breakers that stayed shut because every probe was cancelled before it could say anything."""

from __future__ import annotations

from typing import Any

from dispatcher.policies.breaker import State
from fanmesh.model.states import BranchReason
from fanmesh.testing import Lab, ends, fails, ms, run_virtual
from fanmesh.testing.scripts import virtual_sleep
from tests.kit.plans import plan


def _lab(workers: str, branches: dict[str, Any], **rest: Any) -> Lab:
    policies = {"p": {"extends": "standard", "retry": None, "breaker": {"open_for": {"max": "4s"}}, "balance": "round_robin"}}
    config = plan(workers, default_policy="p", policies=policies, **rest)
    config["plans"]["p"]["branches"] = branches
    return Lab(config)


def test_a_probe_is_not_lost_to_the_refusal_of_a_sibling() -> None:
    """A plan that calls one endpoint twice, and needs the second answer, works again when the endpoint does."""

    async def run() -> None:
        lab = _lab("a", {"one": {"worker": "a"}, "two": {"worker": "a", "required": True}})
        lab.worker("a").plays(fails("INTERNAL"))
        for _ in range(6):
            await lab.dispatch("p", {})
        lab.worker("a").plays(ends(1, after=ms(30)))
        for _ in range(20):
            await virtual_sleep(ms(4000))
            result = await lab.dispatch("p", {})
        assert [row.reason for row in result.report.branches] == [BranchReason.NONE] * 2

    run_virtual(run())


def test_a_breaker_closes_although_a_quicker_branch_always_wins() -> None:
    """Under `until: first` the slower worker's breaker closes, too, and its other endpoint is called again."""

    async def run() -> None:
        lab = _lab("slow quick", {"slow": {}, "quick": {}}, complete={"until": "first"})
        one, other = lab.worker("slow").replicas(2)
        lab.worker("quick").plays(fails("INVALID_ARGUMENT"))
        one.plays(fails("INTERNAL"))
        other.plays(ends(1, after=ms(30)))
        breaker = lab.books.of("slow").endpoint(one.address).breaker
        while breaker.state is State.CLOSED:
            await lab.dispatch("p", {})
        one.plays(ends(1, after=ms(30)))
        lab.worker("quick").plays(ends(2, after=ms(5)))
        before = len(other.calls)
        for _ in range(20):
            await virtual_sleep(ms(4000))
            await lab.dispatch("p", {})
        assert lab.books.of("slow").endpoint(one.address).breaker.state is State.CLOSED
        assert len(other.calls) > before

    run_virtual(run())
