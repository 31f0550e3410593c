"""A merge of one's own with the Aggregator as a process of its own: it runs where it is known, and comes to the same."""

import subprocess
import sys
from pathlib import Path

import pytest

from aggregator.engine.fold import Fold
from fanmesh.model.completion import CompletionRule
from fanmesh.model.events import Change, Effect, End, Event, FoldNode, Happening, Result, Start
from fanmesh.model.merge import MergeFunction, MergeSpec
from fanmesh.model.states import AggregatorMode, BranchState, ChangeKind
from fanmesh.model.times import MS
from fanmesh.model.values import JsonValue
from tests.kit.aggregators import Process, Told, dialled, patience
from tests.kit.merging import cheapest, fails

CHEAPEST, FAILS = "tests.kit.merging:cheapest", "tests.kit.merging:fails"
OPTIONS: JsonValue = {"field": "eur"}


def log(call: str, function: MergeFunction) -> list[Event]:
    """Two branches answer, the second one first."""
    spec = MergeSpec("custom", {"call": call, "options": OPTIONS}, function)
    happenings: list[Happening] = [
        Start("r", "p", (FoldNode("a"), FoldNode("b")), 8_000 * MS, 8_025 * MS, CompletionRule(), spec),
        Change("a", ChangeKind.STARTED),
        Change("b", ChangeKind.STARTED),
        End("b", 0, BranchState.SUCCEEDED, value={"eur": 2.5}),
        End("a", 0, BranchState.SUCCEEDED, value={"eur": 2.5}),
    ]
    return [Event(seq, seq, what) for seq, what in enumerate(happenings, 1)]


def here(events: list[Event]) -> list[Effect]:
    """What this process makes of it."""
    fold = Fold()
    return [effect for event in events for effect in fold.apply(event)]


@pytest.mark.parametrize(
    ("known", "call", "function", "mode", "value"),
    [
        ((CHEAPEST, FAILS), CHEAPEST, cheapest, AggregatorMode.REMOTE, {"from": "a", "price": 2.5}),
        ((FAILS,), FAILS, fails, AggregatorMode.REMOTE, None),
        ((FAILS,), CHEAPEST, cheapest, AggregatorMode.FELL_BACK, {"from": "a", "price": 2.5}),
    ],
    ids=["known there", "fails there", "not known there"],
)
@pytest.mark.asyncio
async def test_a_merge_of_ones_own(
    tmp_path: Path, known: tuple[str, ...], call: str, function: MergeFunction, mode: AggregatorMode, value: JsonValue
) -> None:
    """The aggregator comes to the same as this process; one that does not know the function leaves the request to it."""
    events = log(call, function)
    (expected,) = [effect for effect in here(events) if isinstance(effect, Result)]
    process = Process(f"unix:{tmp_path / 'aggregator.sock'}", *(word for name in known for word in ("--function", name)))
    try:
        with patience():
            async with dialled(process.address) as (aggregator, _):
                told = Told(aggregator, events)
                told.feed(told.log)
                result = await told.result
                assert (told.session.mode, result.value) == (mode, value)
                assert repr(result) == repr(expected)
    finally:
        process.destroy()


def test_an_aggregator_without_its_function_does_not_start(tmp_path: Path) -> None:
    """It says which one is missing, instead of failing each request later on."""
    command = [sys.executable, "-m", "aggregator", "--listen", f"unix:{tmp_path / 's'}", "--function", "tests.kit.merging:gone"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("tests.kit.merging:gone cannot be imported: AttributeError")
