"""The remote merge when the Aggregator process is dead, killed, stopped, slow or overfed: the result comes all the same."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from dispatcher.policies.breaker import State
from dispatcher.wire.aggregator_remote import RemoteAggregator
from fanmesh.model.events import Change, End, Event, PartArrived
from fanmesh.model.states import AggregatorMode, BranchState, ChangeKind, EmitMode
from tests.kit.aggregators import Cable, Process, Told, dialled, patience, until
from tests.kit.logs import Story

REMOTE, FELL_BACK = AggregatorMode.REMOTE, AggregatorMode.FELL_BACK
MIB = 1024 * 1024


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    """Where the aggregator listens."""
    return tmp_path / "aggregator.sock"


@pytest.fixture
def process(socket: Path) -> Iterator[Process]:
    """An aggregator that may be hurt."""
    process = Process(f"unix:{socket}", "--drain", "5")
    yield process
    process.destroy()


@pytest_asyncio.fixture
async def cable(socket: Path, process: Process) -> AsyncIterator[Cable]:
    """A connection to an aggregator that can be held."""
    cable = Cable(socket)
    assert process.address == f"unix:{socket}"
    yield cable
    await cable.unplug()


def story(stop: int = 8_000, emit: EmitMode = EmitMode.FINAL) -> Story:
    """Two branches are sent, both answer: four events before the first answer, two after it. Stop in ms."""
    story = Story("a", "b", stop=stop, emit=emit)
    story.start("a", "b")
    story.part("a", 1, "first ", 0)
    story.part("a", 2, "second", 1)
    story.add(3, End("a", 0, BranchState.SUCCEEDED, streamed=True))
    story.ok("b", 4, {"x": 0.1})
    return story


def assert_fell_back(told: Told, given: Story, why: list[str], reason: str) -> None:
    """The result is the embedded one, was there in time, and the mode and the counter say how."""
    assert (told.session.mode, why) == (FELL_BACK, [reason])
    assert repr(told.result.result()) == repr(given.result)
    assert told.decisive[-2:] == [given.verdict, given.result]
    assert told.in_time


@pytest.mark.asyncio
async def test_an_aggregator_that_is_not_there_costs_nothing_twice(socket: Path) -> None:
    """The first request learns it by the failed connection, the second by the channel; both are answered."""
    given = story()
    async with dialled(f"unix:{socket}") as (aggregator, why):
        for _ in range(2):
            told = Told(aggregator, given.log)
            told.feed(told.log)
            await told.result
            assert_fell_back(told, given, why, "unreachable")
            why.clear()
            await until(lambda: aggregator.running == 0, "the stream to end")
        told = Told(aggregator, given.log)
        told.feed(told.log[:1])
        assert (told.session.mode, aggregator.running) == (FELL_BACK, 0)


@pytest.mark.asyncio
async def test_an_aggregator_that_comes_back_is_used_again(socket: Path) -> None:
    """A fallback is the fate of one request, not of the process: the channel finds the aggregator by itself."""
    given = story()
    async with dialled(f"unix:{socket}", acks=False) as (aggregator, why):
        told = Told(aggregator, given.log)
        told.feed(told.log)
        await told.result
        assert why == ["unreachable"]
        process = Process(f"unix:{socket}")
        try:
            await until(aggregator.channel.ready, "the channel to notice")
            told = Told(aggregator, given.log)
            told.feed(told.log)
            await told.result
            assert told.session.mode is REMOTE
        finally:
            process.destroy()


@pytest.mark.asyncio
@pytest.mark.parametrize("fed", range(1, 7))
async def test_killed_in_mid_request(process: Process, fed: int) -> None:
    """After any event: the log is replayed here, and the request goes on as if nothing had happened."""
    given = story()
    with patience():
        async with dialled(process.address) as (aggregator, why):
            told = Told(aggregator, given.log)
            told.feed(told.log[:fed])
            await until(lambda: told.acknowledged, "the events to be folded")
            assert told.session.mode is REMOTE
            process.send(signal.SIGKILL)
            await until(lambda: told.session.mode is FELL_BACK, "the fallback")
            told.feed(told.log[fed:])
            await told.result
            assert_fell_back(told, given, why, "broken")


@pytest.mark.asyncio
async def test_stopped_in_mid_request(process: Process) -> None:
    """A process that is stopped answers nothing and breaks nothing: silence is noticed, well before the deadline."""
    given = story()
    async with dialled(process.address) as (aggregator, why):
        told = Told(aggregator, given.log)
        with patience():
            told.feed(told.log[:3])
            await until(lambda: told.acknowledged, "the events to be folded")
        process.send(signal.SIGSTOP)
        told.feed(told.log[3:])
        await told.result
        assert_fell_back(told, given, why, "silent")
        await until(lambda: aggregator.running == 0, "the stream to be cancelled")
    process.send(signal.SIGCONT)


async def ended(aggregator: RemoteAggregator, given: Story) -> Told:
    """One whole request."""
    told = Told(aggregator, given.log)
    told.feed(told.log)
    await told.result
    return told


@pytest.mark.asyncio
async def test_one_that_stays_silent_is_left_alone(process: Process) -> None:
    """Five requests wait for it in vain, the next ones do not even ask; when it has come back one of them finds that out."""
    given = story()
    async with dialled(process.address) as (aggregator, why):
        with patience():
            assert (await ended(aggregator, given)).session.mode is REMOTE
        process.send(signal.SIGSTOP)
        for _ in range(5):
            assert aggregator.breaker.state is State.CLOSED
            assert_fell_back(await ended(aggregator, given), given, why, "silent")
            why.clear()
        assert aggregator.breaker.state is State.OPEN
        for _ in range(3):
            told = Told(aggregator, given.log)
            told.feed(told.log)  # and is answered, in this very turn
            assert_fell_back(told, given, why, "breaker_open")
            why.clear()
        process.send(signal.SIGCONT)
        await until(lambda: aggregator.breaker.admits(aggregator.clock.now()), "the open time to be over")
        with patience():
            assert (await ended(aggregator, given)).session.mode is REMOTE
        assert aggregator.breaker.state is State.CLOSED


@asynccontextmanager
async def probed(process: Process, given: Story) -> AsyncIterator[tuple[RemoteAggregator, Told]]:
    """An aggregator that was left alone for a while, and the request that probes it: its first event has just left."""
    async with dialled(process.address) as (aggregator, _):
        with patience():
            await ended(aggregator, given)
        process.send(signal.SIGSTOP)
        for _ in range(5):
            await ended(aggregator, given)
        process.send(signal.SIGCONT)
        await until(lambda: aggregator.breaker.admits(aggregator.clock.now()), "the open time to be over")
        with patience():
            probe = Told(aggregator, given.log)
            probe.feed(probe.log[:1])
            yield aggregator, probe


@pytest.mark.asyncio
async def test_a_probe_that_is_not_wanted_any_more_makes_room(process: Process) -> None:
    """A caller that goes says nothing of the aggregator: the next request probes it in its place."""
    given = story()
    async with probed(process, given) as (aggregator, probe):
        assert probe.session.mode is REMOTE
        assert not aggregator.breaker.admits(aggregator.clock.now())
        probe.session.close()  # in the turn in which its first event left: nothing can have been acknowledged
        assert (await ended(aggregator, given)).session.mode is REMOTE


@pytest.mark.asyncio
async def test_a_probe_has_succeeded_when_its_first_event_is_acknowledged(process: Process) -> None:
    """A request may last a minute, and nobody should be merged here until it has ended."""
    given = story()
    async with probed(process, given) as (aggregator, probe):
        await until(lambda: aggregator.breaker.state is State.CLOSED, "the acknowledgement")
        probe.feed(probe.log[1:])
        await probe.result
        assert probe.session.mode is REMOTE


@pytest.mark.asyncio
async def test_stopped_before_the_result_is_due(process: Process) -> None:
    """Also without a limit on acknowledgements half of the reserve is kept for the replay."""
    given = story(stop=300)
    async with dialled(process.address, acks=False) as (aggregator, why):
        assert await aggregator.channel.wait_ready(20)
        process.send(signal.SIGSTOP)
        told = Told(aggregator, given.log)
        told.feed(told.log)
        await told.result
        assert_fell_back(told, given, why, "no_result")
    process.send(signal.SIGCONT)


@pytest.mark.asyncio
async def test_slowed_by_its_cable(cable: Cable) -> None:
    """Answers that are on their way for too long are as good as none; those that come late are not delivered twice."""
    given = story(emit=EmitMode.SNAPSHOT)
    async with dialled(await cable.plug()) as (aggregator, why):
        told = Told(aggregator, given.log)
        with patience():
            told.feed(told.log[:2])
            await until(lambda: told.acknowledged, "the events to be folded")
        cable.back.clear()
        told.feed(told.log[2:])
        await told.result
        assert_fell_back(told, given, why, "silent")
        count = len(told.effects), len(told.snapshots)
        cable.back.set()
        await until(lambda: aggregator.running == 0, "the stream to end")
        assert (len(told.effects), len(told.snapshots)) == count
        assert told.snapshots[-1] == given.result.value


@pytest.mark.asyncio
async def test_appending_streams_wait_while_the_aggregator_is_slow(cable: Cable) -> None:
    """Thousands of parts, each fed when the one before it may: the queue stays within 1 MiB and a part, and nothing is lost."""
    size, count = 2000, 4000
    log = big_log([PartArrived("a", 0, number, False, f"{number:06}" * (size // 6)) for number in range(count)])
    async with dialled(await cable.plug(), acks=False) as (aggregator, why):
        cable.forth.clear()
        told = Told(aggregator, log)
        most, waits = 0, 0
        for event in told.log:
            room = told.session.feed(event)
            most = max(most, told.session.queued)
            if room is not None:
                waits += 1
                cable.forth.set()
                await asyncio.wait_for(room, 20)
        result = await asyncio.wait_for(told.result, 20)
        assert most <= MIB + 2 * size
        assert waits >= 1
        assert (told.session.mode, why) == (REMOTE, [])
        value = result.value
        assert isinstance(value, dict)
        assert value["a"] == "".join(f"{number:06}" * (size // 6) for number in range(count))


@pytest.mark.asyncio
async def test_replacing_streams_conflate_while_the_aggregator_is_slow(cable: Cable) -> None:
    """Nobody has to wait: of thousands of parts that were not sent only the newest is left, and it is the answer."""
    size, count = 2000, 4000
    log = big_log([PartArrived("a", 0, number, True, f"{number:06}" * (size // 6)) for number in range(count)])
    async with dialled(await cable.plug(), acks=False) as (aggregator, why):
        cable.forth.clear()
        told = Told(aggregator, log)
        for event in told.log:
            assert told.session.feed(event) is None
            assert told.session.queued <= 3 * size
        cable.forth.set()
        result = await asyncio.wait_for(told.result, 20)
        assert (told.session.mode, why) == (REMOTE, [])
        assert result.value == {"a": f"{count - 1:06}" * (size // 6)}


@pytest.mark.asyncio
async def test_a_replay_after_conflation_gives_the_same(cable: Cable) -> None:
    """The log conflates as the queue does: what is left of it leads to the same verdict."""
    log = big_log([PartArrived("a", 0, number, True, number) for number in range(50)])
    async with dialled(await cable.plug()) as (aggregator, why):
        cable.forth.clear()
        told = Told(aggregator, log)
        told.feed(told.log)
        result = await told.result
        assert (told.session.mode, why, result.value) == (FELL_BACK, ["silent"], {"a": 49})


@pytest.mark.asyncio
async def test_waiting_streams_go_on_after_a_fallback(cable: Cable) -> None:
    """Whoever waits for room in a queue that is no more must not wait for ever."""
    log = big_log([PartArrived("a", 0, number, False, "x" * 200_000) for number in range(20)])
    async with dialled(await cable.plug()) as (aggregator, why):
        cable.back.clear()  # not even connected: nothing is taken
        told = Told(aggregator, log)
        rooms = [room for event in told.log[:-1] if (room := told.session.feed(event)) is not None]
        assert rooms
        await asyncio.wait_for(asyncio.gather(*rooms), 20)
        assert told.session.mode is FELL_BACK
        assert len(why) == 1
        told.feed(told.log[-1:])
        assert told.result.done()


@pytest.mark.asyncio
async def test_a_log_that_grows_too_large_is_folded_here(process: Process) -> None:
    """16 MiB can be replayed; the event that would be more than that is the moment to fall back, and is not lost."""
    parts = [PartArrived("a", 0, number, False, ["x" * (MIB - 100)]) for number in range(17)]
    log = big_log(parts)
    async with dialled(process.address, acks=False) as (aggregator, why):
        told = Told(aggregator, log)
        told.feed(told.log[:17])
        assert told.session.mode is REMOTE
        told.feed(told.log[17:])
        assert (told.session.mode, why) == (FELL_BACK, ["log_full"])
        value = told.result.result().value
        assert isinstance(value, dict)
        assert len(value["a"]) == 17  # type: ignore[arg-type]  # a list


@pytest.mark.asyncio
async def test_an_aggregator_that_refuses_the_log_is_replaced(process: Process) -> None:
    """A status of its own ends the stream like a crash does: the fold here has the last word."""
    given = Story("a", stop=20_000, emit=EmitMode.DELTA)
    given.start("a")
    given.ok("a", 1)
    async with dialled(process.address, acks=False) as (aggregator, why):
        told = Told(aggregator, given.log)
        told.feed(told.log)
        await told.result
        assert_fell_back(told, given, why, "broken")


@pytest.mark.asyncio
async def test_a_caller_that_has_gone_leaves_nothing_behind(process: Process) -> None:
    """`close` cancels the stream at once, delivers nothing more, and lets waiting streams go."""
    given = story()
    async with dialled(process.address) as (aggregator, why):
        told = Told(aggregator, given.log)
        with patience():
            told.feed(told.log[:4])
            await until(lambda: told.acknowledged, "the events to be folded")
        told.session.close()
        told.session.close()
        assert told.session.feed(told.log[4]) is None
        await until(lambda: aggregator.running == 0, "the stream to be cancelled")
        assert (told.effects, why, told.session.mode) == ([], [], REMOTE)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


@pytest.mark.asyncio
async def test_a_session_that_is_closed_before_it_was_fed(process: Process) -> None:
    """No stream was opened, so there is none to end."""
    async with dialled(process.address) as (aggregator, _):
        told = Told(aggregator, story().log)
        told.session.close()
        assert told.session.feed(told.log[0]) is None
        assert aggregator.running == 0


def big_log(parts: list[PartArrived]) -> list[Event]:
    """A log of one branch that streams these."""
    given = Story("a", stop=60_000)
    what = [Change("a", ChangeKind.STARTED), *parts, End("a", 0, BranchState.SUCCEEDED, streamed=True)]
    return [given.log[0], *(Event(at, at * 1000, happening) for at, happening in enumerate(what, 2))]
