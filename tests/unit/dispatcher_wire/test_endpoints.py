from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from dispatcher.model.limits import Limits
from dispatcher.model.plan import Worker
from dispatcher.model.policy import HEDGED, STANDARD
from dispatcher.wire.endpoints import DRAIN, Endpoints
from fanmesh.model.times import MS, SECOND, seconds
from fanmesh.testing import VirtualClock, run_virtual
from fanmesh.transport.choosing import Transports

A, B, C = "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"
GEO, USERS = Worker("geo", "dns:///geo:1"), Worker("users", "dns:///users:1")
HEDGE = replace(STANDARD, hedge=HEDGED.hedge)


class _Channel:
    """Stands for a connection: notes what is asked of it, and drains for as long as it may."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked_to_connect = 0
        self.graces: list[float] = []
        self.closed = False
        self.up = True

    def ready(self) -> bool:
        return self.up

    async def wait_ready(self, _: float) -> bool:
        self.asked_to_connect += 1
        return self.up

    async def close(self, grace: float = 0.0) -> None:
        self.graces.append(grace)
        await asyncio.sleep(grace)
        self.closed = True


class _Transport:
    def __init__(self) -> None:
        self.made: list[_Channel] = []

    def connect(self, address: str, _: object = None) -> Any:
        self.made.append(channel := _Channel(address))
        return channel

    def server(self, *_: object, **__: object) -> Any:
        raise AssertionError("these endpoints serve nobody")

    def to(self, address: str) -> list[_Channel]:
        return [channel for channel in self.made if channel.address == address]


class _World:
    """Endpoints on virtual time, over names that mean what a test says."""

    def __init__(self) -> None:
        self.loop: Any = asyncio.get_running_loop()
        self.transport = _Transport()
        self.names: dict[str, list[str]] = {GEO.target: [A], USERS.target: [B]}
        self.asked: list[tuple[int, str]] = []
        self.slow: asyncio.Future[list[str]] | None = None
        self.dropped: list[tuple[str, str]] = []
        self.endpoints = Endpoints(
            Transports(self.transport),
            VirtualClock(self.loop),
            Limits(),
            dropped=lambda worker, address: self.dropped.append((worker, address)),
            resolve=self.resolve,
        )

    async def resolve(self, target: str) -> list[str]:
        self.asked.append((self.loop.now, target))
        answer = list(self.names.get(target, []))
        if self.slow is not None:
            return await self.slow
        return answer

    def of(self, worker: str) -> list[str]:
        return [endpoint.address for endpoint in self.endpoints.of(worker)]

    async def until(self, ms: int) -> None:
        """Let time pass, up to just after `ms`."""
        await asyncio.sleep(seconds(ms * MS + 1 - self.loop.now))


def story(main: Callable[[_World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = _World()
        await main(world)
        await world.endpoints.aclose()
        assert [channel.address for channel in world.transport.made if not channel.closed] == []

    run_virtual(run())


def test_names_are_looked_up_every_five_seconds() -> None:
    """New attempts go to what the name means now; what is gone drains for up to 20 s, and its books are dropped at once."""

    async def main(w: _World) -> None:
        assert await w.endpoints.open([GEO]) == []
        w.names[GEO.target] = [B, C]
        await w.until(4_999)
        assert w.of("geo") == [A]
        await w.until(5_000)
        assert (w.of("geo"), w.dropped) == ([B, C], [("geo", A)])
        assert [channel.asked_to_connect for channel in (*w.transport.to(B), *w.transport.to(C))] == [1, 1]
        [gone] = w.transport.to(A)
        assert gone.graces == [seconds(DRAIN)]
        await w.until(24_000)
        assert not gone.closed
        await w.until(25_000)
        assert gone.closed
        assert [at // SECOND for at, _ in w.asked] == [0, 5, 10, 15, 20, 25]

    story(main)


@pytest.mark.parametrize("answer", [[], [B, A]])
def test_nothing_changes_if_nothing_is_found_or_the_order_is_another(answer: list[str]) -> None:
    """A name service that fails takes no worker away, and a shuffled answer is the same answer."""

    async def main(w: _World) -> None:
        w.names[GEO.target] = [A, B]
        await w.endpoints.open([GEO])
        before = w.endpoints.of("geo")
        w.names[GEO.target] = answer
        await w.until(11_000)
        assert (w.endpoints.of("geo"), w.dropped, len(w.transport.made)) == (before, [], 2)

    story(main)


def test_an_address_that_stays_keeps_its_connection_and_its_place() -> None:
    """A new one is appended and begins to connect at once, so that pick passes over it until it is ready."""

    async def main(w: _World) -> None:
        w.names[GEO.target] = [B, A]
        await w.endpoints.open([GEO])
        w.names[GEO.target] = [A, C, B]
        await w.until(5_000)
        assert (w.of("geo"), w.dropped) == ([B, A, C], [])
        assert [(c.address, c.asked_to_connect) for c in w.transport.made] == [(B, 0), (A, 0), (C, 1)]

    story(main)


def test_a_nudge_brings_the_next_lookup_forward() -> None:
    """After a call that failed UNAVAILABLE the name is looked up at once, but not within a second of the last time."""

    async def main(w: _World) -> None:
        await w.endpoints.open([GEO, USERS])
        await w.until(300)
        w.endpoints.nudge("geo")
        await w.until(3_000)
        w.endpoints.nudge("geo")
        w.endpoints.nudge("geo")
        w.endpoints.nudge("no such worker")
        await w.until(5_000)
        assert [(at // MS, target) for at, target in w.asked[2:]] == [
            (1000, GEO.target),
            (3000, GEO.target),
            (5000, USERS.target),
        ]

    story(main)


def test_a_lookup_changes_its_own_worker_only() -> None:
    """An address that another worker still has keeps its channel; only the books of the worker that lost it are dropped."""

    async def main(w: _World) -> None:
        w.names = {GEO.target: [A, B], USERS.target: [B]}
        await w.endpoints.open([GEO, USERS])
        users = w.endpoints.of("users")
        w.names[GEO.target] = [A]
        await w.until(5_000)
        assert (w.of("geo"), w.endpoints.of("users"), w.dropped) == ([A], users, [("geo", B)])
        assert [channel.graces for channel in w.transport.made] == [[], []]
        w.names[USERS.target] = [C]
        await w.until(10_000)
        assert (w.dropped[1:], w.transport.to(B)[0].graces) == ([("users", B)], [seconds(DRAIN)])

    story(main)


def test_a_worker_without_address_gets_one_when_its_name_is_known() -> None:
    """It is told at the start, and looked up again like the others."""

    async def main(w: _World) -> None:
        w.names[GEO.target] = []
        assert await w.endpoints.open([GEO]) == ["geo"]
        assert w.of("geo") == []
        w.names[GEO.target] = [A]
        await w.until(5_000)
        assert w.of("geo") == [A]

    story(main)


def test_an_address_that_comes_back_while_it_drains_is_a_new_one() -> None:
    """A channel that is closing takes no new calls."""

    async def main(w: _World) -> None:
        await w.endpoints.open([GEO])
        for at, addresses in ((5_000, [B]), (10_000, [A])):
            w.names[GEO.target] = addresses
            await w.until(at)
        old, new = w.transport.to(A)
        assert (w.of("geo"), len(old.graces), new.graces) == ([A], 1, [])

    story(main)


def test_a_reload_keeps_what_was_looked_up_while_it_connected() -> None:
    """`find` took its time; meanwhile the name has changed. The old answer must not come back, nor its channel."""

    async def main(w: _World) -> None:
        await w.endpoints.open([GEO])
        found, _ = await w.endpoints.find([GEO, USERS])
        w.names[GEO.target] = [C]
        await w.until(5_000)
        w.endpoints.use(found)
        assert (w.of("geo"), w.of("users"), w.dropped) == ([C], [B], [("geo", A)])
        assert [channel.address for channel in w.transport.made if not channel.graces] == [B, C]

    story(main)


def test_a_reload_to_another_target_is_not_kept_from_it() -> None:
    """What was looked up meanwhile belongs to the old target."""

    async def main(w: _World) -> None:
        await w.endpoints.open([GEO])
        found, _ = await w.endpoints.find([replace(GEO, target=USERS.target)])
        w.names[GEO.target] = [C]
        await w.until(5_000)
        w.endpoints.use(found)
        assert (w.of("geo"), w.dropped) == ([B], [("geo", A), ("geo", C)])

    story(main)


@pytest.mark.parametrize("then", [[], [replace(GEO, target=USERS.target)], [replace(GEO, endpoints=(B,))]])
def test_a_lookup_that_began_before_a_reload_does_not_undo_it(then: list[Worker]) -> None:
    """The worker is gone, or goes elsewhere, or has a list now: the answer comes too late."""

    async def main(w: _World) -> None:
        await w.endpoints.open([GEO])
        found, _ = await w.endpoints.find(then)
        w.slow = w.loop.create_future()
        await w.until(5_000)
        assert w.asked[-1] == (5 * SECOND, GEO.target)
        w.endpoints.use(found)
        w.slow.set_result([C])
        await w.until(5_500)
        assert (w.of("geo"), w.transport.to(C)) == ([B] if then else [], [])

    story(main)


def test_a_lookup_that_hangs_is_alone() -> None:
    """While one runs neither time nor nudges nor a reload begin another one."""

    async def main(w: _World) -> None:
        await w.endpoints.open([GEO])
        w.slow = w.loop.create_future()
        await w.until(20_000)
        w.endpoints.nudge("geo")
        reload = asyncio.ensure_future(w.endpoints.find([GEO]))
        await w.until(30_000)
        assert [at // SECOND for at, _ in w.asked] == [0, 5]
        w.slow.set_result([A, B])
        found, _ = await reload
        w.endpoints.use(found)
        assert w.of("geo") == [A, B]

    story(main)


def test_a_reload_lets_go_of_what_nobody_wants() -> None:
    """Workers that are gone lose their endpoints, channels and books; one whose name is not known now keeps what it had."""

    async def main(w: _World) -> None:
        await w.endpoints.open([GEO, USERS])
        w.names[GEO.target] = []
        found, unknown = await w.endpoints.find([GEO])
        w.endpoints.use(found)
        assert (unknown, w.of("geo"), w.of("users"), w.dropped) == (["geo"], [A], [], [("users", B)])
        await asyncio.sleep(0)
        assert [len(channel.graces) for channel in w.transport.made] == [0, 1]

    story(main)


@pytest.mark.parametrize(
    "worker",
    [
        Worker("one", "dns:///geo:1", opaque=True),
        Worker("one", "xds:///geo"),
        Worker("one", "unix:/run/geo", opaque=True),
    ],
)
def test_an_opaque_target_is_one_endpoint_as_it_is_written(worker: Worker) -> None:
    """It is never looked up. With a hedge there is a spare endpoint of the same address, on a channel of its own."""

    async def main(w: _World) -> None:
        found, _ = await w.endpoints.find([worker, replace(worker, name="hedged", policy=HEDGE)])
        w.endpoints.use(found)
        assert [(one.address, one.spare) for one in w.endpoints.of("one")] == [(worker.target, False)]
        assert [(one.address, one.spare) for one in w.endpoints.of("hedged")] == [(worker.target, False), (worker.target, True)]
        assert len(w.transport.to(worker.target)) == len(w.transport.made) == 2
        assert await w.endpoints.wait_ready(found) == []
        assert [channel.asked_to_connect for channel in w.transport.made] == [1, 1]
        await w.until(20_000)
        assert w.asked == []
        found, _ = await w.endpoints.find([worker])
        w.endpoints.use(found)
        await asyncio.sleep(0)
        assert [bool(channel.graces) for channel in w.transport.made] == [False, True]
        assert w.dropped == [("hedged", worker.target)]

    story(main)


def test_no_spare_where_there_are_other_endpoints() -> None:
    """A hedge of a worker that is resolved, or has a list, goes to another address."""

    async def main(w: _World) -> None:
        await w.endpoints.open([replace(GEO, policy=HEDGE), Worker("list", "dns:///a:1", endpoints=(B, C), policy=HEDGE)])
        assert [one.spare for name in ("geo", "list") for one in w.endpoints.of(name)] == [False] * 3

    story(main)


def test_who_is_not_ready_is_named_once() -> None:
    """By address, also if it has two channels."""

    async def main(w: _World) -> None:
        found, _ = await w.endpoints.find([GEO, Worker("one", "unix:/run/geo", policy=HEDGE)])
        for channel in w.transport.to("unix:/run/geo"):
            channel.up = False
        assert await w.endpoints.wait_ready(found) == ["unix:/run/geo"]

    story(main)


def test_a_local_worker_is_left_alone() -> None:
    """It is neither looked up nor touched by a reload."""

    async def main(w: _World) -> None:
        local: Any = _Channel("local")
        w.endpoints.add_local("geo", local)
        await w.endpoints.open([GEO, USERS])
        assert w.endpoints.of("geo") == (local,)
        assert w.asked == [(0, USERS.target)]

    story(main)


def test_closing_ends_everything() -> None:
    """No lookup, no timer and no channel is left, one that drains neither; nothing comes to life again."""

    async def main(w: _World) -> None:
        await w.endpoints.open([GEO, USERS])
        found, _ = await w.endpoints.find([GEO])
        w.names[GEO.target] = [C]
        await w.until(5_000)
        w.slow = w.loop.create_future()
        await w.until(10_000)
        await w.endpoints.aclose()
        assert (w.slow.cancelled(), w.loop.now // MS) == (True, 10_000)
        assert all(channel.closed for channel in w.transport.made)
        asked = len(w.asked)
        w.endpoints.use(found)
        w.endpoints.nudge("geo")
        await w.until(60_000)
        assert len(w.asked) == asked

    story(main)
