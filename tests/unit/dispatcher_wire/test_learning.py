"""What is known of foreign methods: read, or learnt by reflection, again and again until it is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dispatcher.model.method import Method
from dispatcher.model.plan import Worker
from dispatcher.wire.learning import AGAIN_FIRST, AGAIN_MOST, Known, Learning
from dispatcher.wire.span_attributes import method_of
from fanmesh.model.times import MS, SECOND
from fanmesh.transport.reflecting import Unreflected
from tests.kit.shop import CONVERT, HISTORY, shop_descriptors

pytestmark = pytest.mark.asyncio

ASKED = Method(CONVERT)
CHANNEL: Any = SimpleNamespace(address="shop:1")


class _Timer:
    def __init__(self, when: int, callback: Callable[[], None]) -> None:
        self.when, self.callback, self.live = when, callback, True

    def cancel(self) -> None:
        self.live = False


class _World:
    """A clock that is set by hand, a server that answers when it is told to, and what is known of it."""

    def __init__(self, channel: Any = CHANNEL) -> None:
        self.time = 100 * SECOND
        self.timers: list[_Timer] = []
        self.answers: list[asyncio.Future[bytes]] = []
        self.learning = Learning(self, lambda _name: channel, self.reflect)

    def now(self) -> int:
        return self.time

    def call_at(self, when: int, callback: Callable[[], None]) -> _Timer:
        self.timers.append(timer := _Timer(when, callback))
        return timer

    async def reflect(self, _channel: Any, service: str, _timeout: float) -> bytes:
        assert service == "shop.CurrencyService"
        self.answers.append(answer := asyncio.get_running_loop().create_future())
        return await answer

    async def begin(self, method: Method = ASKED) -> Known:
        """A worker with that method is in use."""
        known = self.learning.of("rates", method)
        self.learning.keep(["rates"])
        await self.settle()
        return known

    async def fail(self, why: str = "not now") -> None:
        """The server does not say it."""
        self.answers[-1].set_exception(Unreflected(why))
        await self.settle()

    async def fire(self) -> None:
        """The time of the alarm has come."""
        (timer,) = [timer for timer in self.timers if timer.live]
        self.time = timer.when
        timer.live = False
        timer.callback()
        await self.settle()

    @property
    def due(self) -> list[int]:
        """How long the live alarms have to wait."""
        return [timer.when - self.time for timer in self.timers if timer.live]

    async def settle(self) -> None:
        """Let tasks run as far as they can."""
        for _ in range(5):
            await asyncio.sleep(0)


async def test_what_is_in_the_configuration_is_known_at_once() -> None:
    """Nobody is asked."""
    world = _World()
    known = await world.begin(Method(CONVERT, shop_descriptors()))
    assert known.contract is not None
    assert (world.answers, world.learning.unknown()) == ([], {})


async def test_an_answer_makes_it_known() -> None:
    """The same object for as long as the method is the same, so that endpoints need not be made again."""
    world = _World()
    known = await world.begin()
    assert known.contract is None
    assert known.why == f"{CONVERT}: the server has not been asked yet what it takes"
    world.answers[0].set_result(shop_descriptors())
    await world.settle()
    assert known.contract is not None
    assert known.contract.path == f"/{CONVERT}"
    assert world.learning.of("rates", ASKED) is known
    assert world.due == []


async def test_a_server_that_is_silent_is_asked_again_ever_more_rarely() -> None:
    """After one second, two, four, at most thirty."""
    world = _World()
    known = await world.begin()
    waits = []
    for _ in range(7):
        await world.fail()
        waits += world.due
        await world.fire()
    assert waits == [AGAIN_FIRST, 2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND, AGAIN_MOST, AGAIN_MOST]
    assert known.why == f"{CONVERT}: reflection at shop:1: not now"
    assert world.learning.unknown() == {"rates": known.why}


async def test_a_call_that_needs_it_asks_sooner() -> None:
    """Not while an answer is on its way, and once a second at most."""
    world = _World()
    known = await world.begin()
    known.wanted()
    await world.settle()
    assert len(world.answers) == 1
    await world.fail()
    world.time += SECOND - MS
    known.wanted()
    await world.settle()
    assert len(world.answers) == 1
    world.time += MS
    known.wanted()
    await world.settle()
    assert len(world.answers) == 2
    assert world.due == []


async def test_without_an_address_nobody_is_asked() -> None:
    """The text says so, and it is tried again."""
    world = _World(channel=None)
    known = await world.begin()
    assert "no address of its server is known" in known.why
    assert (world.answers, world.due) == ([], [AGAIN_FIRST])


async def test_what_was_learnt_is_asked_again_and_kept_meanwhile() -> None:
    """A reload refreshes it; a server that is silent then has not forgotten what it takes."""
    world = _World()
    known = await world.begin()
    world.answers[0].set_result(shop_descriptors())
    await world.settle()
    before = known.contract
    world.learning.refresh()
    await world.settle()
    await world.fail()
    assert (known.contract, world.due) == (before, [])
    world.learning.refresh()
    await world.settle()
    world.answers[-1].set_result(shop_descriptors())
    await world.settle()
    assert known.contract is not before


async def test_another_method_begins_anew() -> None:
    """The old one's answer is not waited for."""
    world = _World()
    old = await world.begin()
    new = await world.begin(Method(HISTORY))
    assert new is not old
    assert world.answers[0].cancelled()
    world.answers[1].set_result(shop_descriptors())
    await world.settle()
    assert new.contract is not None
    assert new.contract.streams
    assert old.contract is None


@pytest.mark.parametrize("while_asking", [True, False])
async def test_what_is_gone_is_forgotten(while_asking: bool) -> None:  # noqa: FBT001
    """Neither its question nor its alarm stays."""
    for end in (lambda world: world.learning.keep([]), None):
        world = _World()
        await world.begin()
        if not while_asking:
            await world.fail()
        if end is None:
            await world.learning.aclose()
        else:
            end(world)
        await world.settle()
        assert (world.due, world.learning.unknown()) == ([], {})
        assert world.answers[0].done()


async def test_settled_waits_for_answers_and_no_longer_than_told() -> None:
    """Start-up gives servers a moment."""
    world = _World()
    await world.learning.settled(0.0)
    await world.begin()
    await world.learning.settled(0.0)
    assert world.learning.unknown()
    world.answers[0].set_result(shop_descriptors())
    await world.learning.settled(5.0)
    assert world.learning.unknown() == {}
    await world.learning.aclose()


async def test_spans_name_the_method_that_is_called() -> None:
    """`rpc.method` is the service's own, not ours."""
    assert method_of(Worker("rates", "shop:1", method=ASKED)) == CONVERT
    assert method_of(Worker("rates", "shop:1", streams=True)) == "fanmesh.v1.WorkerService/ProcessStream"
    assert method_of(Worker("rates", "shop:1")) == "fanmesh.v1.WorkerService/Process"
