"""The course of a staged plan once more, as plainly as it can be written, and as slowly.

After each ending every node is looked at again; nothing is counted down, nothing is known beforehand but who reads whom. It
shares no code with dispatcher/flow, so that a mistake has to be made twice to go unseen. When a request is complete it does not
know: it goes on until everything has ended, or until stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from dispatcher.model.plan import Node
from dispatcher.model.reading import Input, Reading, Unreadable, View
from fanmesh.model.events import Change, End, Happening, PartArrived
from fanmesh.model.states import BranchReason, BranchState, ChangeKind, IfMissing
from fanmesh.model.times import MS
from fanmesh.model.values import Value

R, S = BranchReason, BranchState

LEAST = 5 * MS
"""With less than this nothing is started."""


class Course(NamedTuple):
    """What a worker does if nobody interferes. Times are ns after its send; `end` None = it never ends.

    `value`: its answer as the plan takes it, or what a stream that broke has left; `parts`: those that are told as they
    come, and `sures` the confidence that had been reported with each.
    """

    end: int | None
    state: BranchState = S.SUCCEEDED
    reason: BranchReason = R.NONE
    value: Value = None
    sure: float | None = None
    parts: tuple[tuple[int, Value], ...] = ()
    replace: bool = False
    sures: tuple[float | None, ...] = ()

    @property
    def kept(self) -> bool:
        """Whether its parts are part of its answer."""
        return bool(self.parts) and (self.state is S.SUCCEEDED or self.reason is R.STREAM_BROKEN)


Plays: TypeAlias = Callable[[Node, Reading], Course]
"""What a node's worker does; the reading is that of its `output`."""


class Start(NamedTuple):
    """A node is sent. `deadline` since the request's arrival; `sent`: its input, None = the request's own."""

    at: int
    deadline: int
    sent: Value


class Naive:
    """One request. `order`: which of two endings at one instant came first; not given, the one that was sent first."""

    def __init__(
        self,
        nodes: Sequence[Node],
        source: Input,
        attributes: Mapping[str, str],
        stop: int,
        plays: Plays,
        must: frozenset[str] = frozenset(),
        order: Mapping[str, int] | None = None,
    ) -> None:
        self.nodes = nodes
        self.stop = stop
        self.log: list[tuple[int, Happening]] = []
        self.starts: dict[str, Start] = {}
        self.ended: dict[str, int] = {}
        self._source, self._attributes = source, attributes
        self._plays = plays
        self._must = must
        self._order = order or {}
        self._asked: set[str] = set()
        self._views: dict[str, View] = {}
        self._given: dict[str, tuple[bool, Value]] = {}  # by node that has an answer; whether it is whole
        self._courses: dict[str, Course] = {}
        self._coming: list[tuple[int, int, int, Happening]] = []
        self._pushed = 0

    def tell(self) -> list[tuple[int, Happening]]:
        """Everything that happens before stop, in order."""
        if self.stop > 0:
            self._look(0)
        while self._coming:
            self._coming.sort(key=lambda entry: entry[:3])
            at, _, _, what = self._coming.pop(0)
            if at >= self.stop:
                break
            self.log.append((at, what))
            if isinstance(what, End):
                self._heard(what, at)
                self._look(at)
        return self.log

    def _heard(self, end: End, at: int) -> None:
        self._has_ended(end.branch, at, end.state, end.reason)

    def _look(self, at: int) -> None:
        """Decide about everybody, again and again, until nothing changes; then send who is to run."""
        chosen: list[Node] = []
        while any(self._decide(node, at, chosen) for node in self.nodes if node.id not in self.ended and node not in chosen):
            pass
        for node in self.nodes:
            if node in chosen:
                self._start(node, at)

    def _decide(self, node: Node, at: int, chosen: list[Node]) -> bool:
        """Whether there is something new to say of a node that has not ended."""
        edges = node.edges
        if node.id in self.starts or not edges.asks <= self.ended.keys():
            return False
        if node.id not in self._asked:
            self._asked.add(node.id)
            holds = True if node.condition is None else node.condition(self._reading())
            if holds is not True:
                return self._exclude(node, at, R.CONDITION_ERROR if isinstance(holds, Unreadable) else R.CONDITION)
        if not (edges.feeds | edges.after) <= self.ended.keys():
            return False
        if any(self._misses(node, other) for other in edges.feeds):
            return self._exclude(node, at, R.UPSTREAM_MISSING)
        if (fate := self._mapped(node)) is not R.NONE:
            return self._exclude(node, at, fate)
        chosen.append(node)
        return True

    def _mapped(self, node: Node) -> BranchReason:
        """NONE if there is something to send."""
        unreadable = node.input is not None and isinstance(node.input(self._reading()), Unreadable)
        return R.CONDITION_ERROR if unreadable else R.NONE

    def _misses(self, node: Node, other: str) -> bool:
        whole, _ = self._given.get(other, (None, None))
        return whole is None or (not whole and node.writes and not node.allow_partial_input)

    def _exclude(self, node: Node, at: int, reason: BranchReason) -> bool:
        self.log.append((at, Change(node.id, ChangeKind.EXCLUDED, reason)))
        failed = reason is R.TOO_LARGE or (reason is R.CONDITION_ERROR and node.id in self._must)
        self._has_ended(node.id, at, S.FAILED if failed else S.SKIPPED, reason)
        return True

    def _start(self, node: Node, at: int) -> None:
        """Its deadline leaves time for every path of nodes that have not ended behind it."""
        deadline = max(self.stop - self._longest(node.id), at)
        if deadline - at < max(node.min_time, LEAST):
            self.starts[node.id] = Start(at, deadline, None)
            self._push(at, End(node.id, 0, S.SKIPPED, R.NOT_STARTED_NO_TIME))
            return
        if node.timeout is not None:
            deadline = min(deadline, at + node.timeout)
        sent = None if node.input is None else node.input(self._reading())
        self.starts[node.id] = Start(at, deadline, None if isinstance(sent, Unreadable) else sent)
        self.log.append((at, Change(node.id, ChangeKind.STARTED)))
        course = self._courses[node.id] = self._plays(node, self._reading())
        over = None if course.end is None else at + course.end
        for seq, (after, value) in enumerate(course.parts):
            if at + after <= deadline:
                sure = course.sures[seq] if course.sures else None
                self._push(at + after, PartArrived(node.id, 0, seq, course.replace, value, sure))
        if over is not None and over <= deadline:
            kept = course.kept
            answer = course.value if course.state is S.SUCCEEDED and not kept else None
            self._push(over, End(node.id, 0, course.state, course.reason, answer, kept, course.sure))
        elif deadline < self.stop:
            self._push(deadline, End(node.id, 0, S.TIMED_OUT, R.HARD_TIMEOUT))

    def _longest(self, name: str) -> int:
        known: dict[str, int] = {}  # a plan of thirty nodes has millions of paths

        def behind(one: str) -> int:
            if one not in known:
                nodes = [node for node in self.nodes if one in node.edges.all() and node.id not in self.ended]
                known[one] = max((node.min_time + behind(node.id) for node in nodes), default=0)
            return known[one]

        return behind(name)

    def _push(self, at: int, what: PartArrived | End) -> None:
        self._pushed += 1
        self._coming.append((at, self._order.get(what.branch, 0), self._pushed, what))

    def _reading(self) -> Reading:
        return Reading(self._source, self._attributes, None, self._views)

    def _has_ended(self, name: str, at: int, state: BranchState, reason: BranchReason) -> None:
        """What others see of it from now on."""
        (node,) = [node for node in self.nodes if node.id == name]
        self.ended[name] = at
        if state is not S.SUCCEEDED and node.if_missing is IfMissing.USE and node.each is None and reason is not R.CONDITION:
            state, self._given[name] = S.DEFAULTED, (True, node.default)
        elif state is S.SUCCEEDED:
            self._given[name] = True, self._courses[name].value
        elif reason is R.STREAM_BROKEN and self._courses[name].kept:
            self._given[name] = False, self._courses[name].value
        ok = state is S.SUCCEEDED
        sure = (self._courses[name].sure or 0.0) if ok else 0.0
        self._views[name] = View(ok=ok, state=state.name, confidence=sure, output=self._given.get(name, (True, {}))[1])
