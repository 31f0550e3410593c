"""A reload that changes a worker's limit while branches run and wait under the old one: the newest limit decides at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from dispatcher.layers.queue import reloaded
from fanmesh.model.states import BranchState
from fanmesh.testing import Lab, ends, ms
from tests.composition.test_story_limits import burst, conf, rows

S = BranchState


def reload(lab: Lab, **limit: Any) -> None:
    """New requests have this limit, as after a reload."""
    catalogue = lab.config.catalogue
    old = catalogue.plans["p"]
    node = old.nodes[0]
    worker = replace(node.worker, limit=replace(node.worker.limit, **limit))
    catalogue.plans["p"] = replace(old, nodes=(replace(node, worker=worker),))
    catalogue.workers["a"] = worker
    reloaded(lab.books, catalogue.workers)


@pytest.mark.parametrize("places", [None, 8])
@pytest.mark.fanmesh(conf({"in_flight": 1, "queue": 4}))
async def test_who_waits_runs_when_the_limit_is_raised_or_removed(lab: Lab, places: int | None) -> None:
    """They waited for the one that ran, and then for each other, although there was room for all of them."""
    lab.worker("a").plays(ends(1, after=ms(200)))
    before = asyncio.ensure_future(burst(lab, *[(0, 900)] * 4))
    await asyncio.sleep(0.01)
    reload(lab, in_flight=places)
    later = rows(await burst(lab, (0, 900)))
    found = rows(await before)
    assert [row.state for row in (*found, *later)] == [S.SUCCEEDED] * 5
    assert [row.queued for row in found] == [0, ms(10), ms(10), ms(10)]
    assert later[0].queued == 0


@pytest.mark.fanmesh(conf({"in_flight": 1, "queue": 4}))
async def test_who_began_before_gives_back_by_the_new_limit(lab: Lab) -> None:
    """Four of the old configuration run when a fifth request comes: it has the place of the first of them that ends."""
    lab.worker("a").plays(ends(1, after=ms(200)))
    before = asyncio.ensure_future(burst(lab, *[(0, 900)] * 4))
    await asyncio.sleep(0.01)
    reload(lab, in_flight=4)
    later = rows(await burst(lab, (0, 900)))
    assert [row.queued for row in rows(await before)] == [0, ms(10), ms(10), ms(10)]
    assert later[0].queued == ms(190)


@pytest.mark.fanmesh(conf({"in_flight": 3, "queue": 9}))
async def test_a_lower_limit_holds_from_the_first_place_that_is_given_back(lab: Lab) -> None:
    """Three run and three wait under the old limit; with one place only, they run one by one."""
    worker = lab.worker("a").plays(ends(1, after=ms(100)))
    before = asyncio.ensure_future(burst(lab, *[(0, 900)] * 6))
    await asyncio.sleep(0.01)
    reload(lab, in_flight=1)
    await asyncio.sleep(0.1)
    assert worker.running == 1
    assert sorted(row.queued for row in rows(await before)) == [0, 0, 0, ms(100), ms(200), ms(300)]


@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3)])
@pytest.mark.fanmesh(conf({"in_flight": 3, "queue": 9}))
async def test_a_request_of_the_old_configuration_does_not_bring_its_limit_back(lab: Lab, before: int, after: int) -> None:
    """One of its branches begins when the new limit is in force already: it waits, and lets others in, by that."""
    worker = lab.worker("a").plays(ends(1, after=ms(100)))
    reload(lab, in_flight=before)
    plan = lab.config.catalogue.plans["p"]
    reload(lab, in_flight=after)
    lab.config.catalogue.plans["p"], plan = plan, lab.config.catalogue.plans["p"]
    old = asyncio.ensure_future(burst(lab, (0, 900)))
    await asyncio.sleep(0.01)
    lab.config.catalogue.plans["p"] = plan
    new = asyncio.ensure_future(burst(lab, *[(0, 900)] * 5))
    await asyncio.sleep(0.01)
    assert worker.running == after
    await asyncio.sleep(0.1)
    assert worker.running == after
    assert {row.state for row in (*rows(await old), *rows(await new))} == {S.SUCCEEDED}


@pytest.mark.fanmesh(conf({"in_flight": 1, "queue": 4}))
async def test_a_worker_that_is_gone_leaves_no_books(lab: Lab) -> None:
    """Not while somebody runs there; at the reload after that."""
    lab.worker("a").plays(ends(1, after=ms(100)))
    before = asyncio.ensure_future(burst(lab, (0, 900), (0, 900)))
    await asyncio.sleep(0.01)
    reloaded(lab.books, {})
    assert list(lab.books.workers) == ["a"]
    assert [row.queued for row in rows(await before)] == [0, ms(10)]
    reloaded(lab.books, {})
    assert not lab.books.workers
