from __future__ import annotations

import asyncio

import pytest

from dispatcher.model.plan import Worker
from dispatcher.wire.resolving import Lookups, distinct, fixed_addresses, resolve


@pytest.mark.parametrize(
    ("worker", "addresses"),
    [
        (Worker("w", "dns:///geo:50051"), None),
        (Worker("w", "geo:50051"), None),
        (Worker("w", "dns:///localhost:50051"), None),
        (Worker("w", "dns:///geo:50051", endpoints=("a:1", "b:2")), ["a:1", "b:2"]),
        (Worker("w", "dns:///geo:50051", opaque=True), ["dns:///geo:50051"]),
        (Worker("w", "dns:///10.0.0.1:50051"), ["10.0.0.1:50051"]),
        (Worker("w", "ipv4:10.0.0.1:50051"), ["10.0.0.1:50051"]),
        (Worker("w", "ipv6:[0:0::1]:50051"), ["[::1]:50051"]),
        (Worker("w", "[::1]:50051"), ["[::1]:50051"]),
        (Worker("w", "unix:/run/geo"), ["unix:/run/geo"]),
        (Worker("w", "xds:///geo"), ["xds:///geo"]),
    ],
)
def test_only_names_are_looked_up(worker: Worker, addresses: list[str] | None) -> None:
    """A list, an opaque target, a path and a literal address never change; None is a name."""
    assert fixed_addresses(worker) == addresses


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        (["10.0.0.2", "10.0.0.1", "10.0.0.2"], ["10.0.0.2:80", "10.0.0.1:80"]),
        (["::1", "127.0.0.1"], ["127.0.0.1:80"]),
        (["::1"], ["[::1]:80"]),
        (["fd00::1", "10.0.0.1"], ["[fd00::1]:80", "10.0.0.1:80"]),
        ([], []),
    ],
)
def test_each_address_once_and_loopback_is_one_host(hosts: list[str], addresses: list[str]) -> None:
    """The second family of a loopback name is no further endpoint; that of any other name is."""
    assert distinct(hosts, 80) == addresses


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("target", "addresses"), [("dns:///localhost:80", ["127.0.0.1:80"]), (f"dns:///{'x' * 70}:80", []), ("dns:///a..b:80", [])]
)
async def test_the_systems_resolver(target: str, addresses: list[str]) -> None:
    """What it knows is an address each; a name that cannot be one has none, and is no crash."""
    assert await resolve(target) == addresses


class _Resolver:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    async def __call__(self, target: str) -> list[str]:
        self.asked.append(target)
        return await self.answer


@pytest.mark.asyncio
async def test_who_asks_while_a_lookup_runs_gets_its_answer() -> None:
    """A target is never looked up twice at once; a caller that gives up takes nothing from the others; later ones ask anew."""
    resolver = _Resolver()
    lookups = Lookups(resolver)
    first, second, other = (
        asyncio.ensure_future(lookups.of(Worker(name, target))) for name, target in (("a", "x:1"), ("b", "x:1"), ("c", "y:1"))
    )
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    resolver.answer.set_result(["10.0.0.1:1"])
    assert [await second, await other] == [["10.0.0.1:1"]] * 2
    assert resolver.asked == ["x:1", "y:1"]
    await lookups.of(Worker("a", "x:1"))
    assert resolver.asked == ["x:1", "y:1", "x:1"]


@pytest.mark.asyncio
async def test_closing_ends_what_is_being_looked_up() -> None:
    """Whoever still waits is cancelled."""
    lookups = Lookups(_Resolver())
    waiting = asyncio.ensure_future(lookups.of(Worker("a", "x:1")))
    await asyncio.sleep(0)
    lookups.close()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
