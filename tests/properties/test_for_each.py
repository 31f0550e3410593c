"""Any plan with lists in the Lab: who is called, how many at once, who goes first, and what all that adds up to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dispatcher.flow.ports import Deliver
from dispatcher.wire.aggregator_embedded import EmbeddedSession
from fanmesh.eventlog import decode_answer, decode_event, encode_effect, encode_event
from fanmesh.model.endings import FAILURES
from fanmesh.model.events import Effect, Event, Update
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.report import BranchReport
from fanmesh.model.states import BranchReason, BranchState, CompletedBy, EmitMode
from fanmesh.model.times import ms
from fanmesh.model.values import Value
from fanmesh.testing import Lab, LabResult, Script, run_virtual
from fanmesh.testing.loop import VirtualClock
from fanmesh.testing.scripts import PartTaker, virtual_sleep
from tests.kit.plans import plan

R, S, C = BranchReason, BranchState, CompletedBy

GIVEN = {S.SUCCEEDED, S.FELL_BACK, S.DEFAULTED}
UNNEEDED = {R.COMPLETION_MET, R.SOFT_TIMEOUT, R.CALLER_GONE, R.CONDITION, R.LATE}
DEFAULT = "default"


class World(NamedTuple):
    """A plan, what it is asked, and what becomes of a call: ms, and whether it answers; None: it hangs."""

    config: dict[str, Any]
    lists: dict[str, list[str]]
    plays: dict[tuple[str, str], tuple[int, bool | None]]

    def branch(self, name: str) -> dict[str, Any]:
        """As the plan has it."""
        said: dict[str, Any] = self.config["plans"]["p"]["branches"][name]
        return said


class Call(NamedTuple):
    """One that was made. `end`: also of one that was cancelled."""

    branch: str
    item: str
    start: int
    end: int


def maybe(*values: Any) -> st.SearchStrategy[Any]:
    """One of them, or nothing; nothing half of the time."""
    return st.none() | st.sampled_from(values)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """`x` has a list of the request's, `y` one of its own or what `x` has given, `z` none."""
    branches: dict[str, dict[str, Any]] = {}
    for name in ("x", "y"):
        source = "${branches.x.output}" if name == "y" and draw(st.booleans()) else f"${{input.{name}}}"
        each = {
            "items": source,
            "max_concurrency": draw(maybe(1, 2, 3)),
            "canary": draw(st.sampled_from([0, 0, 1, 2, 4])),
            "tolerate": draw(maybe(0, 1, 2, "50%")),
            "max_items": draw(st.sampled_from([5, 1000, 1000])),
        }
        branches[name] = {"for_each": {key: value for key, value in each.items() if value is not None}}
    branches["z"] = {}
    for branch in branches.values():
        said = {
            "required": draw(st.sampled_from([None, None, True])),
            "weight": draw(maybe(0.1, 2.5)),
            "timeout": draw(maybe("30ms")),
            "soft_timeout": draw(maybe("25ms")),
            "if_missing": draw(maybe({"use": DEFAULT}, {"use": DEFAULT}, "fail")),
        }
        branch.update({key: value for key, value in said.items() if value is not None})
    complete = {"until": draw(maybe({"count": 3}, {"coverage": 0.6}, "first")), "soft_timeout": draw(maybe("70ms"))}
    config = plan(
        branches,
        latency="300ms",
        complete={key: value for key, value in complete.items() if value is not None},
        on_branch_failure=draw(st.sampled_from(["settle", "settle", "stop_new", "cancel_all"])),
        accept={"min_success": draw(st.sampled_from([0, 1]))},
    )
    lists = {name: draw(st.lists(st.sampled_from("abcdefgh"), max_size=8)) for name in ("x", "y")}
    fate = st.tuples(st.sampled_from([0, 5, 10, 20, 40, 80]), st.sampled_from([True, True, True, False, None]))
    items = [(name, item) for name in ("x", "y") for item in "abcdefgh"]
    items += [("y", f"x-{item}") for item in "abcdefgh"] + [("z", "")]
    return World(config, lists, {one: draw(fate) for one in items})


class Wired(EmbeddedSession):
    """The same fold behind the protocol's bytes, as if it were elsewhere."""

    def __init__(self, deliver: Deliver, emitted: list[Value]) -> None:
        def decoded(effect: Effect) -> None:
            if isinstance(effect, Update):
                emitted.append(effect.read()[0])
                deliver(effect)
            else:
                deliver(decode_answer(encode_effect(effect)))  # type: ignore[arg-type]  # an effect again

        super().__init__(decoded)

    def feed(self, event: Event) -> None:
        """Fold the event that the service would have read."""
        super().feed(decode_event(encode_event(event)))


def played(world: World, *, wired: bool = False) -> tuple[LabResult, list[Call], list[Value]]:
    """The request, the calls that were made, and, if `wired`, the snapshots that were told of."""
    calls: list[Call] = []
    emitted: list[Value] = []

    def worker(name: str, clock: VirtualClock) -> Script:
        async def play(value: Value, _take: PartTaker) -> Outcome:
            item = "" if name == "z" else str(value)
            wait, answers = world.plays.get((name, item), (0, True))
            start = clock.now()
            try:
                await virtual_sleep(ms(10_000 if answers is None else wait))
            finally:
                calls.append(Call(name, item, start, clock.now()))
            return Success(f"{name}-{item}") if answers else Fault(FaultKind.WORKER_ERROR, Code.NOT_FOUND, "no")

        return Script(play, name)

    async def story() -> LabResult:
        lab = Lab(world.config, aggregate=lambda deliver, _end: Wired(deliver, emitted)) if wired else Lab(world.config)
        for name in "xyz":
            lab.worker(name).plays(worker(name, lab.clock))
        result = await lab.dispatch("p", world.lists, emit=EmitMode.SNAPSHOT if wired else EmitMode.FINAL)
        await virtual_sleep(ms(20_000))
        lab.assert_nothing_left()
        return result

    result = run_virtual(story())
    return result, sorted(calls, key=lambda call: (call.start, call.branch, call.item)), emitted


def rows_of(result: LabResult, name: str) -> list[BranchReport]:
    """Those of one branch."""
    return [row for row in result.report.branches if row.branch == name]


def failing(row: BranchReport) -> bool:
    """Whether an answer of it was wanted, and is not there."""
    return row.state not in GIVEN and row.reason not in UNNEEDED


def lost(world: World, name: str, rows: list[BranchReport]) -> bool:
    """Whether a branch with a list has failed."""
    if rows[0].item is None:
        return False
    said = world.branch(name)
    tolerate = said["for_each"].get("tolerate")
    must = said.get("required") or said.get("if_missing") == "fail"
    count = len(rows)
    allowed = (0 if must else count) if tolerate is None else count // 2 if tolerate == "50%" else tolerate
    failed = sum(map(failing, rows))
    return failed > allowed or bool(failed and not any(row.state in GIVEN for row in rows))


def of_lists(world: World, result: LabResult) -> Iterator[tuple[str, dict[str, Any], list[BranchReport]]]:
    """(name, what `for_each` says, rows) of each branch that was expanded."""
    for name in "xy":
        rows = rows_of(result, name)
        if rows[0].item is not None:
            yield name, world.branch(name)["for_each"], rows


@given(worlds())
@settings(max_examples=60)
def test_every_item_is_called_once_or_never_with_its_reason(world: World) -> None:
    """In the order of the list, equal ones once; a row says when a call was sent, or why none was."""
    result, calls, _ = played(world)
    for name, _, rows in of_lists(world, result):
        made = [call for call in calls if call.branch == name]
        assert len({call.item for call in made}) == len(made)
        assert [row.item for row in rows] == list(range(len(rows)))
        sent = [row for row in rows if row.started_after is not None]
        assert sorted((row.started_after or 0, row.item_key) for row in sent) == [(call.start, call.item) for call in made]
        assert all(row.reason is not R.NONE for row in rows if row.started_after is None)
        assert [row.started_after for row in sent] == sorted(row.started_after or 0 for row in sent)
        if world.branch(name)["for_each"]["items"].startswith("${input"):
            assert [row.item_key for row in rows] == list(dict.fromkeys(world.lists[name]))


@given(worlds())
@settings(max_examples=60)
def test_never_more_run_at_once_than_may(world: World) -> None:
    """Nor is any item beyond the canaries called before one of these has answered."""
    result, calls, _ = played(world)
    for name, each, rows in of_lists(world, result):
        made = [call for call in calls if call.branch == name]
        most, canary = each.get("max_concurrency", 1000), each["canary"]
        for call in made:
            assert sum(other.start <= call.start < other.end for other in made) <= max(most, 1) or call.start == call.end
        answered = [
            (row.started_after or 0) + (row.elapsed or 0) for row in rows[:canary] if row.state in (S.SUCCEEDED, S.FELL_BACK)
        ]
        for row in rows[canary:] if canary else ():
            assert row.started_after is None or (answered and row.started_after >= min(answered))


@given(worlds())
@settings(max_examples=60)
def test_coverage_adds_up(world: World) -> None:
    """Items share their branch's weight; what a branch that failed was given does not count; every item is counted once."""
    result, _, _ = played(world)
    coverage = result.coverage
    good = total = Fraction(0)
    answers = rows_in_all = 0
    for name in "xyz":
        rows = rows_of(result, name)
        rows_in_all += len(rows)
        share = Fraction(repr(world.branch(name).get("weight", 1.0))) / len(rows)
        gone = lost(world, name, rows)
        for row in rows:
            counted = row.state is not S.SKIPPED or row.reason is not R.CONDITION
            total += share * counted
            answered = row.state in (S.SUCCEEDED, S.FELL_BACK) and not gone
            answers += answered
            good += share * answered
    assert abs(coverage.ratio - float(good / total if total else 0)) < 1e-9
    assert (coverage.planned, coverage.succeeded + coverage.fell_back) == (rows_in_all, answers)
    counters = ("succeeded", "defaulted", "fell_back", "failed", "timed_out", "skipped", "rejected", "cancelled", "pending")
    assert sum(getattr(coverage, name) for name in counters) == coverage.planned
    assert coverage.started == sum(row.started_after is not None for row in result.report.branches)


@given(worlds())
@settings(max_examples=60)
def test_what_is_merged_is_what_the_items_gave(world: World) -> None:
    """In their order, a default in the place of each that has one; nothing of a branch that failed."""
    result, _, _ = played(world)
    if result.value is None:
        return
    assert isinstance(result.value, dict)
    for name, _, rows in of_lists(world, result):
        gone = lost(world, name, rows)
        answers = [DEFAULT if row.state is S.DEFAULTED else f"{name}-{row.item_key}" for row in rows if row.state in GIVEN]
        assert result.value.get(name) == (answers if answers and not gone else None)
        assert [row.merged for row in rows] == [row.state in GIVEN and not gone for row in rows]


@given(worlds())
@settings(max_examples=60)
def test_the_same_comes_of_it_wherever_it_is_folded(world: World) -> None:
    """Through the protocol's bytes: the same calls, verdict, value and rows; and the last snapshot is the result."""
    here, called, _ = played(world)
    there, called_too, snapshots = played(world, wired=True)
    assert replace(there, report=replace(there.report, aggregator_mode=here.report.aggregator_mode)) == here
    assert called_too == called
    if here.value is not None:
        assert snapshots[-1] == here.value


@given(worlds())
@settings(max_examples=60)
def test_on_branch_failure(world: World) -> None:
    """A branch that has failed, and not an item, is what ends a request by it; after that nothing is sent any more."""
    result, calls, _ = played(world)
    word = world.config["plans"]["p"]["on_branch_failure"]
    if word == "settle":
        assert result.report.completed_by is not C.BRANCH_FAILURE
        return
    ends = []
    for name in "xyz":
        rows = rows_of(result, name)
        if name != "z" and lost(world, name, rows):
            first = next(row for row in rows if failing(row))
            if first.state in FAILURES:
                ends.append(max((row.started_after or 0) + (row.elapsed or 0) for row in rows if row.started_after is not None))
        elif rows[0].item is None and rows[0].state in FAILURES and rows[0].started_after is not None:
            ends.append(rows[0].started_after + (rows[0].elapsed or 0))
    if result.report.completed_by is C.BRANCH_FAILURE:
        assert any(row.state in FAILURES for row in result.report.branches)
    if ends:
        assert not [call for call in calls if call.start > min(ends)]


@example([], 0)
@given(st.lists(st.sampled_from("ab"), max_size=60), st.integers(0, 3))
@settings(max_examples=60)
def test_a_list_that_is_all_alike_is_one_call(items: list[str], canary: int) -> None:
    """Whatever its length; without items it is none."""
    config = plan({"x": {"for_each": {"items": "${input.x}", "canary": canary}}, "y": {}, "z": {}})
    _, calls, _ = played(World(config, {"x": items}, {}))
    assert sorted(call.item for call in calls if call.branch == "x") == sorted(set(items))
