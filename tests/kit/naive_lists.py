"""The naive course of a plan, with nodes that are called once for each item of a list.

Like `naive`, and as plainly: after each ending every list is looked at again from its beginning. It shares no code with
dispatcher/flow or with fanmesh/model/leaves, but for what answers are gathered to, which is a table and not a rule.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from dispatcher.model.plan import Node
from dispatcher.model.reading import Reading, Unreadable
from fanmesh.model.events import Change, End, PartArrived
from fanmesh.model.gather import gather
from fanmesh.model.states import BranchReason, BranchState, ChangeKind, Gather, IfMissing
from tests.kit.naive import LEAST, Course, Naive, Start

R, S = BranchReason, BranchState


@dataclass
class Items:
    """One list: its items by key, in order, and what has become of each."""

    node: Node
    deadline: int
    items: list[tuple[str, Any]]
    allowed: int
    sent: list[int] = field(default_factory=list)
    ended: dict[int, tuple[BranchState, BranchReason]] = field(default_factory=dict)
    courses: dict[int, Course] = field(default_factory=dict)
    over: bool = False

    def failed(self) -> list[int]:
        """Those without an answer that have ended."""
        return [item for item, (state, _) in sorted(self.ended.items()) if state not in (S.SUCCEEDED, S.DEFAULTED)]

    def answered(self) -> list[int]:
        """Those that have one of their own."""
        return [item for item, (state, _) in self.ended.items() if state is S.SUCCEEDED]

    def next(self, canary: int, most: int | None) -> int | None:
        """The item that is to be sent now."""
        rest = [item for item in range(len(self.items)) if item not in self.sent and item not in self.ended]
        running = [item for item in self.sent if item not in self.ended]
        if not rest or (most is not None and len(running) >= most):
            return None
        return rest[0] if rest[0] < canary or not canary or self.answered() else None

    def doomed(self, canary: int) -> list[int]:
        """Those that no canary can let go any more."""
        if not canary or self.answered() or any(item not in self.ended for item in range(min(canary, len(self.items)))):
            return []
        return [item for item in range(len(self.items)) if item not in self.ended]


class NaiveLists(Naive):
    """One request. `halts`: nothing is sent any more once a node has failed (`on_branch_failure: stop_new`)."""

    halts = False

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._lists: dict[str, Items] = {}
        self._found: dict[str, list[tuple[str, Any]]] = {}
        self._halted = False
        self._again = False

    def _look(self, at: int) -> None:
        self._again = True
        while self._again and not self._halted:
            self._again = False
            super()._look(at)

    def _mapped(self, node: Node) -> BranchReason:
        if node.each is None:
            return super()._mapped(node)
        items = node.each.items(self._reading())
        if not isinstance(items, list):
            return R.CONDITION_ERROR
        if len(items) > node.each.most:
            return R.TOO_LARGE
        found: dict[str, Any] = {}
        for index, item in enumerate(items):
            key = item if node.each.key is None else node.each.key(self._of(item, index))
            if isinstance(key, Unreadable):
                return R.CONDITION_ERROR
            found.setdefault(key if isinstance(key, str) else json.dumps(key, separators=(",", ":")), item)
        self._found[node.id] = list(found.items())
        return R.NONE

    def _start(self, node: Node, at: int) -> None:
        if self._halted:
            return
        if node.each is None:
            super()._start(node, at)
            return
        self.starts[node.id] = Start(at, self.stop, None)
        items, said = self._found[node.id], node.each.tolerated
        none = 0 if node.id in self._must else len(items)
        allowed = none if said is None else int(len(items) * said) if isinstance(said, float) else said
        found = self._lists[node.id] = Items(node, max(self.stop - self._longest(node.id), at), items, allowed)
        self.log.append((at, Change(node.id, ChangeKind.EXPANDED, items=tuple(key for key, _ in items), tolerated=allowed)))
        if items:
            self._advance(found, at)
            return
        self._has_ended(node.id, at, S.SKIPPED, R.CONDITION)
        self._given[node.id] = True, gather(node.each.gather, [])
        self._views[node.id]["output"] = gather(node.each.gather, [])
        self._again = True

    def _advance(self, found: Items, at: int) -> None:
        each = found.node.each
        assert each is not None
        while not self._halted and not found.over and (item := found.next(each.canary, each.concurrency)) is not None:
            self._send(found, item, at)
            self._judge(found, at)
        for item in found.doomed(each.canary):
            if not found.over:
                self._refuse(found, item, R.UPSTREAM_MISSING, at)
                self._judge(found, at)

    def _send(self, found: Items, item: int, at: int) -> None:
        node, (_, value) = found.node, found.items[item]
        reading = self._of(value, item)
        if node.input is not None and isinstance(node.input(reading), Unreadable):
            self._refuse(found, item, R.CONDITION_ERROR, at)
            return
        found.sent.append(item)
        if found.deadline - at < max(node.min_time, LEAST):
            self._push(at, End(node.id, 0, S.SKIPPED, R.NOT_STARTED_NO_TIME, item=item))
            return
        deadline = found.deadline if node.timeout is None else min(found.deadline, at + node.timeout)
        self.log.append((at, Change(node.id, ChangeKind.STARTED, item=item)))
        course = found.courses[item] = self._plays(node, reading)
        for seq, (after, part) in enumerate(course.parts):
            if at + after <= deadline:
                self._push(at + after, PartArrived(node.id, 0, seq, course.replace, part, item=item))
        if course.end is not None and at + course.end <= deadline:
            answer = course.value if course.state is S.SUCCEEDED and not course.kept else None
            end = End(node.id, 0, course.state, course.reason, answer, course.kept, course.sure, item=item)
            self._push(at + course.end, end)
        elif deadline < self.stop:
            self._push(deadline, End(node.id, 0, S.TIMED_OUT, R.HARD_TIMEOUT, item=item))

    def _refuse(self, found: Items, item: int, reason: BranchReason, at: int) -> None:
        self.log.append((at, Change(found.node.id, ChangeKind.EXCLUDED, reason, item)))
        failed = reason is R.CONDITION_ERROR and found.node.id in self._must
        self._note(found, item, S.FAILED if failed else S.SKIPPED, reason)

    def _note(self, found: Items, item: int, state: BranchState, reason: BranchReason) -> None:
        stands_in = state is not S.SUCCEEDED and found.node.if_missing is IfMissing.USE
        found.ended[item] = (S.DEFAULTED if stands_in else state), reason

    def _heard(self, end: End, at: int) -> None:
        if end.item is None:
            super()._heard(end, at)
            return
        found = self._lists[end.branch]
        self._note(found, end.item, end.state, end.reason)
        self._judge(found, at)
        self._advance(found, at)

    def _judge(self, found: Items, at: int) -> None:
        """Whether the node is over: what comes of its other items is no longer heard of."""
        failed = found.failed()
        lost = len(failed) > found.allowed or len(failed) == len(found.items)
        if found.over or not (lost or len(found.ended) == len(found.items)):
            return
        found.over, name = True, found.node.id
        self._coming = [entry for entry in self._coming if entry[3].branch != name]
        if lost:
            self._has_ended(name, at, *found.ended[failed[0]])
        else:
            self._courses[name] = self._together(found)
            self._has_ended(name, at, S.SUCCEEDED, R.NONE)
        self._again = True

    def _together(self, found: Items) -> Course:
        given: list[tuple[str, Any]] = []
        for item, (key, _) in enumerate(found.items):
            state, reason = found.ended[item]
            if state is S.DEFAULTED:
                given.append((key, found.node.default))
            elif state is S.SUCCEEDED or (reason is R.STREAM_BROKEN and found.courses[item].kept):
                given.append((key, found.courses[item].value))
        sure = min((found.courses[item].sure or 0.0 for item in found.answered()), default=0.0)
        return Course(None, value=gather(found.node.each.gather if found.node.each else Gather.LIST, given), sure=sure)

    def _has_ended(self, name: str, at: int, state: BranchState, reason: BranchReason) -> None:
        (node,) = [node for node in self.nodes if node.id == name]
        stands_in = node.if_missing is IfMissing.USE and node.each is None
        self._halted |= self.halts and not stands_in and state in (S.FAILED, S.TIMED_OUT, S.REJECTED)
        super()._has_ended(name, at, state, reason)

    def _of(self, item: Any, index: int) -> Reading:
        """What is read for one item."""
        return Reading(self._source, self._attributes, None, self._views, item=item, index=index)
