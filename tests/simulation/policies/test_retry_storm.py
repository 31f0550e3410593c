"""All callers retry at once, through three layers: what naive retries do to the service below, and what ours do."""

from __future__ import annotations

import asyncio
from functools import cache

import pytest

from bench.storm.layers import LAYERS, TRIES, Mesh
from bench.storm.leaf import Leaf, Trouble
from bench.storm.scenarios import RATE, VARIANTS, Storm, cap, run
from fanmesh.model.states import AttemptKind
from fanmesh.model.times import SECOND
from fanmesh.testing import VirtualClock, VirtualLoop, run_virtual

AT_ONCE = Storm("300 callers in one instant", Trouble.DOWN, 1, 60, 60, at_once=300)
DOWN = Storm("down for 5 s", Trouble.DOWN, 3, 8, 14, tail=0)
OVERLOADED = Storm("four times as slow for 5 s", Trouble.OVERLOADED, 3, 8, 14, tail=0)
SHORT = Storm("four times as slow for 3 s", Trouble.OVERLOADED, 2, 5, 9, tail=0)

blow = cache(lambda storm, variant: run(storm, VARIANTS[variant]))
"""Each storm once: it is the same in every run."""

RETRYING = {"budgets only": LAYERS, "budgets, pushback": 1, "Fanmesh": 1}
"""In how many of the layers anybody retries."""


def test_naive_retries_multiply() -> None:
    """Three layers with three attempts each are twenty-seven for each request: the contrast to everything below."""
    assert blow(AT_ONCE, "naive").attempts_per_request == TRIES**LAYERS == 27


@pytest.mark.parametrize("variant", RETRYING)
@pytest.mark.parametrize("storm", [AT_ONCE, DOWN, OVERLOADED], ids=lambda storm: storm.about)
def test_no_more_than_the_budgets_give(storm: Storm, variant: str) -> None:
    """Each layer that retries adds at most its budget; with pushback heeded only one layer does."""
    found = blow(storm, variant)
    assert found.attempts_per_request * found.requests <= cap(found.requests, storm, RETRYING[variant])


def test_pushback_keeps_the_layers_above_from_retrying() -> None:
    """A dispatcher that gave up says so, and the two above it make one attempt for each request; without it they retry."""

    async def kinds(*, heeds: bool) -> list[set[AttemptKind]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        leaf = Leaf(VirtualClock(loop), Trouble.DOWN, 0, 60 * SECOND)
        mesh = Mesh(leaf, 1, breaker=False, heeds=heeds)
        await asyncio.gather(*(mesh.call(f"r{i}") for i in range(50)))
        for lab in mesh.labs:
            await lab.settle()
            assert not lab.reaper.open
        return [set(layer) for layer in mesh.kinds]

    once, again = {AttemptKind.FIRST}, {AttemptKind.FIRST, AttemptKind.RETRY}
    assert run_virtual(kinds(heeds=True)) == [once, once, again]
    assert run_virtual(kinds(heeds=False)) == [again, again, again]


@pytest.mark.parametrize("storm", [DOWN, OVERLOADED], ids=lambda storm: storm.about)
def test_the_storm_is_over_when_the_trouble_is(storm: Storm) -> None:
    """Two seconds after the leaf is well again, all is answered through three layers of breakers."""
    found = blow(storm, "Fanmesh")
    assert found.recovery_s is not None
    assert found.recovery_s <= 2
    assert found.attempts_per_request < 1  # breakers: most callers are told at once, and the leaf is spared


def test_naive_retries_do_not_get_over_an_overload() -> None:
    """The leaf is as fast as before, and the retries of those who gave up keep it from answering anybody."""
    found = run(SHORT, VARIANTS["naive"])
    assert found.recovery_s is None
    assert max(found.seen[SHORT.ends :]) > 10 * RATE
