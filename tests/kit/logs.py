"""Writing event logs in tests: a log that numbers itself, with times in milliseconds, beside the fold that reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aggregator.engine.fold import Fold
from fanmesh.model.completion import CompletionRule, Evaluate, Grace, Predicate, Until, UntilKind
from fanmesh.model.coverage import Coverage
from fanmesh.model.events import (
    Alarm,
    Arm,
    Change,
    Effect,
    End,
    Event,
    FoldNode,
    Happening,
    PartArrived,
    Result,
    Start,
    Update,
    Verdict,
)
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import AlarmKind, BranchReason, BranchState, ChangeKind, EmitMode
from fanmesh.model.times import MS
from fanmesh.model.values import JsonValue, Value

R, S = BranchReason, BranchState


def rule(*until: Until | UntilKind, soft: int | None = None, **rest: object) -> CompletionRule:
    """A completion rule; `soft` in ms."""
    rules = tuple(one if isinstance(one, Until) else Until(one) for one in until) or (Until(UntilKind.ALL),)
    return CompletionRule(rules, None if soft is None else soft * MS, **rest)  # type: ignore[arg-type]  # passed on as they are


def asks(holds: Callable[[Value, float], bool | None], times: list[int] | None = None) -> Callable[..., Evaluate]:
    """A language in which every predicate is `holds`; how often it is asked can be read off the length of `times`."""

    def compile_predicate(_predicate: Predicate, _attributes: Mapping[str, str]) -> Evaluate:
        def evaluate(merged: Callable[[], Value], coverage: float) -> bool | None:
            if times is not None:
                times.append(len(times))
            return holds(merged(), coverage)

        return evaluate

    return compile_predicate


def never(_merged: Value, _coverage: float) -> bool:
    """A predicate that does not hold."""
    return False


SILENT = asks(never)


def grace(minimum: float, maximum: float) -> Grace:
    """A grace."""
    return Grace(minimum, maximum)


class Story:
    """One request, told event by event; keeps the log, every effect, and the fold. Times are in ms."""

    def __init__(
        self,
        *nodes: FoldNode | str,
        completion: CompletionRule | None = None,
        stop: int = 1000,
        merge: str = "collect",
        options: JsonValue = None,
        emit: EmitMode = EmitMode.FINAL,
        language: Callable[..., Evaluate] = SILENT,
        attributes: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.fold = Fold(language)
        self.log: list[Event] = []
        self.effects: list[Effect] = []
        real = tuple(FoldNode(node) if isinstance(node, str) else node for node in nodes)
        terms = completion or rule()
        spec = MergeSpec(merge, options)
        self.add(0, Start("r", "p", real, stop * MS, (stop + 25) * MS, terms, spec, emit, attributes=attributes))

    def add(self, at: float, what: Happening) -> list[Effect]:
        """Log and fold one event."""
        event = Event(len(self.log) + 1, round(at * MS), what)
        self.log.append(event)
        found = self.fold.apply(event)
        self.effects += found
        return found

    def start(self, *branches: str, at: float = 0) -> None:
        """These are sent."""
        for branch in branches:
            self.add(at, Change(branch, ChangeKind.STARTED))

    def exclude(self, branch: str, reason: BranchReason, at: float = 0) -> list[Effect]:
        """This one will not run."""
        return self.add(at, Change(branch, ChangeKind.EXCLUDED, reason))

    def ok(self, branch: str, at: float, value: Value = None, *, sure: float | None = None) -> list[Effect]:
        """This one answers; by default with its own name."""
        return self.add(at, End(branch, 0, S.SUCCEEDED, value=branch if value is None else value, confidence=sure))

    def done(self, branch: str, at: float, *, sure: float | None = None) -> list[Effect]:
        """This stream ends well: its parts are its answer."""
        return self.add(at, End(branch, 0, S.SUCCEEDED, streamed=True, confidence=sure))

    def fail(
        self, branch: str, at: float, state: BranchState = S.FAILED, reason: BranchReason = R.WORKER_ERROR
    ) -> list[Effect]:
        """This one ends badly."""
        return self.add(at, End(branch, 0, state, reason))

    def part(
        self,
        branch: str,
        at: float,
        value: Value,
        seq: int,
        *,
        attempt: int = 0,
        replace: bool = False,
        sure: float | None = None,
    ) -> list[Effect]:
        """A part of a stream."""
        return self.add(at, PartArrived(branch, attempt, seq, replace, value, sure))

    def alarm(self, kind: AlarmKind, at: float, branch: str = "") -> list[Effect]:
        """Time passes."""
        return self.add(at, Alarm(kind, branch))

    @property
    def verdict(self) -> Verdict:
        """The verdict; there is one."""
        (found,) = (effect for effect in self.effects if isinstance(effect, Verdict))
        return found

    @property
    def result(self) -> Result:
        """The result; there is one."""
        (found,) = (effect for effect in self.effects if isinstance(effect, Result))
        return found

    @property
    def arms(self) -> list[Arm]:
        """Every wish for an alarm."""
        return [effect for effect in self.effects if isinstance(effect, Arm)]

    @property
    def updates(self) -> list[Update]:
        """Every update."""
        return [effect for effect in self.effects if isinstance(effect, Update)]

    @property
    def coverage(self) -> Coverage:
        """The result's coverage."""
        return self.result.coverage

    def state(self, branch: str) -> tuple[BranchState, BranchReason]:
        """How this one stands."""
        start = self.log[0].what
        assert isinstance(start, Start)
        return self.fold.final_states()[[node.id for node in start.nodes].index(branch)]
