"""The first driver: the policies alone, asked by hand over a timeline."""

from __future__ import annotations

from dispatcher.config import Config
from tests.conformance.drivers import VIRTUAL_TICK
from tests.conformance.policies.branch import Branch
from tests.conformance.policies.casebook import PolicyCase, warm
from tests.conformance.policies.checking import Seen, of_book
from tests.conformance.policies.world import World


def pure(case: PolicyCase, config: Config) -> Seen:
    """Play it by hand."""
    world = World(case, config)
    addresses = [place.address for place in world.places]
    warm(case, world.book, addresses, 0, VIRTUAL_TICK)
    branches = [Branch(world, asked) for asked in case.requests]
    for branch, asked in zip(branches, case.requests, strict=True):
        world.at(round(asked.at * VIRTUAL_TICK), branch.arrive)
    world.run()
    live = [case.away(place.index) is None for place in world.places]
    calls = [place.made if up else 0 for place, up in zip(world.places, live, strict=True)]
    cancels = [place.cancels if up else 0 for place, up in zip(world.places, live, strict=True)]
    breakers, counts = of_book(world.book, addresses)
    return Seen([branch.seen() for branch in branches], breakers, calls, cancels, counts)
