"""The rules of completion once more, read off the design as plainly as they can be written, and as slowly.

Nothing is counted as it goes: at every moment everything is looked at again. It shares no code with the engine, so that a
mistake has to be made twice to go unseen.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from fanmesh.model.completion import UntilKind
from fanmesh.model.events import Change, End, Event, FoldNode, PartArrived, Start
from fanmesh.model.states import BranchReason, BranchState, ChangeKind, CompletedBy, IfMissing

R, S, C, K = BranchReason, BranchState, CompletedBy, UntilKind

Fate = tuple[BranchState, BranchReason]
NOT_WANTED = (R.CONDITION, R.ROLLOUT)


class Judged(NamedTuple):
    """What the design says of a log. `at` in ns; `fates` by branch; `cut`: how many entries that are no alarm it read."""

    by: CompletedBy
    at: int
    accepted: bool
    fates: dict[str, Fate]
    cut: int


def exact(number: float) -> Fraction:
    """0.9 is nine tenths."""
    return Fraction(repr(number))


class Oracle:
    """One request."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.rule = start.completion
        self.nodes = {node.id: node for node in start.nodes}
        self.fates: dict[str, Fate] = {}
        self.started: dict[str, int] = {}
        self.now = 0
        self.before_softs = False  # at this instant, softs that are due have not passed yet
        self.grace_at: int | None = None
        self.came: int | None = None  # when something new came last
        self.said: dict[str, float] = {}  # the confidence of each branch, as it said last
        self.parts: set[str] = set()  # who has sent parts and has not ended
        self.stale = False  # something has come since the predicate was asked
        self.again = 0  # when it may be asked again
        self.enough = False  # it said yes

    def judge(self, log: list[Event]) -> Judged:
        """Read the log until a rule completes the request."""
        events = [event for event in log[1:] if isinstance(event.what, Change | End | PartArrived)]
        read = 0
        self.before_softs = True
        if self.start.stop <= 0:
            return self.close(C.HARD_TIMEOUT, read)
        while (by := self.rules()) is None:
            soft = self.next_soft()
            upcoming = events[read].at if read < len(events) else None
            if upcoming is not None and upcoming < self.start.stop and (soft is None or upcoming <= soft):
                self.now, self.before_softs = upcoming, True
                self.take(events[read])
                read += 1
            elif soft is not None and soft < self.start.stop:
                self.now, self.before_softs = soft, False
            else:
                self.now, self.before_softs = self.start.stop, False
                return self.close(C.HARD_TIMEOUT, read)
        return self.close(by, read)

    def take(self, event: Event) -> None:
        """One entry of the log."""
        match event.what:
            case Change(branch, ChangeKind.STARTED):
                self.started[branch] = event.at
            case Change(branch, ChangeKind.EXCLUDED, reason):
                failed = self.must(self.nodes[branch]) and reason is R.CONDITION_ERROR
                self.end(branch, (S.FAILED if failed else S.SKIPPED, reason))
            case End(branch=branch, state=state, reason=reason) as end:
                self.end(branch, (state, reason))
                if end.confidence is not None:
                    self.said[branch] = end.confidence
            case PartArrived(branch=branch, replace=replace, confidence=confidence):
                self.came, self.stale = self.now, True
                self.parts.add(branch)
                if replace or confidence is not None:
                    self.said[branch] = confidence or 0.0

    def end(self, branch: str, fate: Fate) -> None:
        """A default stands in for what is missing; not for what was not wanted, or was not needed any more."""
        state, reason = fate
        missing = state not in (S.SUCCEEDED, S.FELL_BACK) and reason not in (*NOT_WANTED, R.COMPLETION_MET, R.CALLER_GONE)
        if missing and self.nodes[branch].if_missing is IfMissing.USE:
            state = S.DEFAULTED
        self.fates[branch] = state, reason
        self.stale = True
        if state in (S.SUCCEEDED, S.FELL_BACK, S.DEFAULTED):  # a stream that broke has said all it had before
            self.came = self.now
        self.parts.discard(branch)

    # ---- what holds now

    def must(self, node: FoldNode) -> bool:
        """It has to answer."""
        return node.required or node.if_missing is IfMissing.FAIL

    def softs(self) -> list[tuple[int, str | None]]:
        """When each soft timeout is due: the plan's (None), and those of branches that have been sent."""
        due: list[tuple[int, str | None]] = [] if self.rule.soft is None else [(self.rule.soft, None)]
        for branch, at in self.started.items():
            node = self.nodes[branch]
            if node.soft is not None and not self.must(node):
                due.append((at + node.soft, branch))
        return due

    def has_passed(self, at: int) -> bool:
        """Time has come to `at`; at that instant endings come before softs."""
        return at < self.now or (at == self.now and not self.before_softs)

    def next_soft(self) -> int | None:
        """The next moment at which time alone may change something."""
        due = [at for at, _ in self.softs()] + ([] if self.grace_at is None else [self.grace_at])
        due += [] if (quiet := self.quiet_at()) is None else [quiet]
        due += [self.again] if self.rule.predicate is not None and self.stale and self.floor(self.fates) else []
        return min((at for at in due if not self.has_passed(at)), default=None)

    def quiet_at(self) -> int | None:
        """When it has been quiet for long enough, if nothing more comes."""
        lengths = [int(until.value) for until in self.rule.until if until.kind is K.QUIET]
        return self.came + min(lengths) if lengths and self.came is not None else None

    def surest(self) -> float:
        """The best confidence among those who have answered, and those who are sending."""
        who = [branch for branch, (state, _) in self.fates.items() if state in (S.SUCCEEDED, S.FELL_BACK)]
        return max((self.said.get(branch, 0.0) for branch in [*who, *self.parts]), default=0.0)

    def ask(self) -> None:
        """The predicate, if something has come and it is not too soon. It is always `coverage > x`."""
        if self.rule.predicate is not None and self.stale and self.now >= self.again:
            self.stale = False
            self.again = self.now + self.rule.predicate.min_interval
            self.enough = self.coverage(self.fates) > exact(float(self.rule.predicate.source.split()[-1]))

    def pending(self) -> list[str]:
        """Who has not ended."""
        return [branch for branch in self.nodes if branch not in self.fates]

    def waited(self) -> list[str]:
        """Who is waited for."""
        left = {branch for at, branch in self.softs() if self.has_passed(at)}
        return [branch for branch in self.pending() if branch not in left]

    def plan_soft_passed(self) -> bool:
        """It is sticky."""
        return self.rule.soft is not None and self.has_passed(self.rule.soft)

    def coverage(self, fates: dict[str, Fate]) -> Fraction:
        """Answered weight over wanted weight."""
        ok = total = Fraction(0)
        for branch, node in self.nodes.items():
            state, reason = fates.get(branch, (S.PENDING, R.NONE))
            if state is S.SKIPPED and reason in NOT_WANTED:
                continue
            total += exact(node.weight)
            ok += exact(node.weight) if state in (S.SUCCEEDED, S.FELL_BACK) else 0
        return ok / total if total else Fraction(0)

    def succeeded(self, fates: dict[str, Fate]) -> int:
        """How many answered."""
        return sum(state in (S.SUCCEEDED, S.FELL_BACK) for state, _ in fates.values())

    def floor(self, fates: dict[str, Fate]) -> bool:
        """Everyone who must has, and `accept` holds."""
        for branch, node in self.nodes.items():
            state, reason = fates.get(branch, (S.PENDING, R.NONE))
            unwanted = state is S.SKIPPED and reason in NOT_WANTED
            if self.must(node) and not unwanted and state not in (S.SUCCEEDED, S.FELL_BACK, S.DEFAULTED):
                return False
        return self.succeeded(fates) >= self.rule.min_success and self.coverage(fates) >= exact(self.rule.min_coverage)

    def rules(self) -> CompletedBy | None:
        """Rules 2 to 5, in their order."""
        nothing = (*NOT_WANTED, R.CONDITION_ERROR)
        if all(self.fates.get(b, (None, None))[0] is S.SKIPPED and self.fates[b][1] in nothing for b in self.nodes):
            return C.EMPTY
        if not self.floor(self.fates | dict.fromkeys(self.pending(), (S.SUCCEEDED, R.NONE))):
            return C.UNREACHABLE
        self.fix_grace()
        if not self.floor(self.fates):
            return None
        self.ask()
        for until in self.rule.until:
            if self.holds(until.kind, until.value):
                return C[until.kind.name]
        if not self.waited() or self.plan_soft_passed():
            return C.SOFT_TIMEOUT if self.pending() else C.ALL
        return None

    def holds(self, kind: UntilKind, value: float) -> bool:
        """One `until` rule."""
        match kind:
            case K.ALL:
                return not self.pending()
            case K.FIRST:
                return self.succeeded(self.fates) >= 1
            case K.COUNT:
                return self.succeeded(self.fates) >= value
            case K.REQUIRED:
                must = [branch for branch, node in self.nodes.items() if self.must(node) and branch in self.fates]
                return any(self.fates[branch][0] is not S.SKIPPED for branch in must)
            case K.PREDICATE:
                return self.enough
            case K.CONFIDENCE:
                return self.surest() >= value
            case K.QUIET:
                quiet = self.quiet_at()
                return quiet is not None and self.has_passed(quiet)
            case K.COVERAGE:
                return self.covered() and (not self.pending() or (self.grace_at is not None and self.has_passed(self.grace_at)))

    def target(self) -> Fraction | None:
        """The lowest coverage that completes."""
        return min((exact(until.value) for until in self.rule.until if until.kind is K.COVERAGE), default=None)

    def covered(self) -> bool:
        """It is reached."""
        target = self.target()
        return target is not None and self.coverage(self.fates) >= target

    def fix_grace(self) -> None:
        """As a share of what remains, by (pending − lightest)/(allowed missing − lightest); fixed when first covered."""
        target = self.target()
        if self.grace_at is not None or target is None or not self.covered():
            return
        weights = [exact(self.nodes[branch].weight) for branch in self.pending()]
        low, high = exact(self.rule.grace.minimum), exact(self.rule.grace.maximum)
        wait = 0
        if weights:
            counted = [n for b, n in self.nodes.items() if not (b in self.fates and self.fates[b][1] in NOT_WANTED)]
            allowed = (1 - target) * sum(exact(node.weight) for node in counted)
            room = allowed - min(weights)
            share = (sum(weights) - min(weights)) / room if room > 0 else Fraction(0)
            wait = int((self.start.stop - self.now) * (low + (high - low) * min(max(share, Fraction(0)), Fraction(1))))
        self.grace_at = self.now + wait if wait else self.now - 1  # without a wait it has passed

    def close(self, by: CompletedBy, read: int) -> Judged:
        """What the verdict makes of the branches that have not ended."""
        left = {branch for at, branch in self.softs() if self.has_passed(at)}
        everybody = self.plan_soft_passed()
        for branch in self.pending():
            started = branch in self.started
            if by is C.HARD_TIMEOUT:
                fate = (S.TIMED_OUT, R.REQUEST_DEADLINE) if started else (S.SKIPPED, R.NOT_STARTED_NO_TIME)
            else:
                reason = R.SOFT_TIMEOUT if everybody or branch in left else R.COMPLETION_MET
                fate = (S.CANCELLED if started else S.SKIPPED), reason
            self.end(branch, fate)
        accepted = by not in (C.EMPTY, C.UNREACHABLE) and self.floor(self.fates)
        return Judged(by, self.now, accepted, self.fates, read)
