"""Arguments of a wrong kind are refused where they are given, by name, by everything that a program calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest

from fanmesh import AsyncClient, Branch, Budget, Client, Fanmesh, Plan, fanout
from fanmesh.testing import Lab, ends, ms, run_virtual

NOWHERE = "127.0.0.1:1"
PLANS = {"version": 1, "workers": {"a": {"target": "a:1", "effect": "read"}}, "plans": {"p": {"branches": {"a": {}}}}}


async def nothing() -> None:
    """Plays a worker."""


async def _embedded(**wrong: Any) -> None:
    async with Fanmesh(Plan("p", {"a": Branch()}), local={"a": nothing}) as mesh:
        await mesh.dispatch("p", **wrong)


async def _embedded_stream(**wrong: Any) -> None:
    async with Fanmesh(Plan("p", {"a": Branch()}), local={"a": nothing}) as mesh, aclosing(mesh.stream("p", **wrong)) as seen:
        async for _ in seen:
            pass


async def _asynchronous(**wrong: Any) -> None:
    async with AsyncClient(NOWHERE) as client:
        await client.dispatch("p", **wrong)


async def _asynchronous_stream(**wrong: Any) -> None:
    async with AsyncClient(NOWHERE) as client, aclosing(client.stream("p", **wrong)) as seen:
        async for _ in seen:
            pass


async def _asynchronous_explain(**wrong: Any) -> None:
    async with AsyncClient(NOWHERE) as client:
        await client.explain("p", **wrong)


@pytest.fixture
def blocking() -> Iterator[Client]:
    with Client(NOWHERE) as client:
        yield client


FANOUT = [
    pytest.param(lambda **wrong: fanout({"a": nothing}, **wrong), name, id=f"fanout-{name}") for name in ("timeout", "soft")
]
CALLS = [
    pytest.param(call, name, id=f"{call.__name__}-{name}")
    for call, names in (
        (_embedded, ["timeout"]),
        (_embedded_stream, ["timeout", "min_interval"]),
        (_asynchronous, ["timeout"]),
        (_asynchronous_stream, ["timeout", "min_interval"]),
        (_asynchronous_explain, ["timeout"]),
    )
    for name in names
]


@pytest.mark.parametrize("written", ["1s", "1.5", [1]])
@pytest.mark.parametrize(("call", "name"), [*FANOUT, *CALLS])
def test_a_time_that_is_no_number_is_refused_by_name(call: Callable[..., Awaitable[None]], name: str, written: object) -> None:
    """It is said that seconds are a number, before anything is sent."""

    async def main() -> None:
        await call(**{name: written})

    with pytest.raises(TypeError, match=rf"^{name}: .* is not a number of seconds, such as 1\.5"):
        asyncio.run(main())


def test_the_blocking_client_says_the_same(blocking: Client) -> None:
    """Of all three calls, and of a budget."""
    said = r"is not a number of seconds, such as 1\.5"
    wrong: Any = "1s"
    with pytest.raises(TypeError, match=f"^timeout: '1s' {said}"):
        blocking.dispatch("p", timeout=wrong)
    with pytest.raises(TypeError, match=f"^timeout: '1s' {said}"):
        blocking.explain("p", timeout=wrong)
    for name in ("timeout", "min_interval"):
        with pytest.raises(TypeError, match=f"^{name}: '1s' {said}"), closing(blocking.stream("p", **{name: wrong})) as seen:
            next(seen)
    with pytest.raises(TypeError, match=f"^budget.latency: '1s' {said}"):
        blocking.dispatch("p", budget=Budget(latency=wrong))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"idempotency_key": 5}, "idempotency_key: 5 is not a string"),
        ({"idempotency_key": b"5"}, "idempotency_key: b'5' is not a string"),
        ({"attributes": {"risk": 5}}, "attributes: 5, the value of 'risk', is not a string"),
        ({"attributes": {5: "risk"}}, "attributes: 5 is not a string"),
    ],
)
def test_text_that_is_none_is_refused_by_name(blocking: Client, wrong: dict[str, Any], said: str) -> None:
    """Protobuf would say that an argument of a built-in operation is bad."""
    with pytest.raises(TypeError, match=f"^{said}$"):
        blocking.dispatch("p", **wrong)
    with pytest.raises(TypeError, match=f"^{said}$"):
        asyncio.run(_asynchronous(**wrong))


@pytest.mark.parametrize("written", ["1s", 0.3])
def test_a_deadline_of_the_lab_is_in_whole_nanoseconds(written: Any) -> None:
    """On virtual time 0.3 would be no time at all; what is meant is said."""

    async def main() -> None:
        lab = Lab(PLANS)
        lab.worker("a").plays(ends(1))
        with pytest.raises(TypeError, match=r"^timeout: .* is not a whole number of nanoseconds: write timeout=ms\(80\)"):
            await lab.dispatch("p", timeout=written)
        assert (await lab.dispatch("p", timeout=ms(80))).value == {"a": 1}

    run_virtual(main())
