"""Layer 1½: ask somebody else when the branch's own worker has failed, within the one deadline of the branch.

Above the queue, so that whoever is asked has its own queue, attempts, breaker and books; below observe, so that it is one
branch whoever answers. A fallback is not one more attempt: it goes to another worker, with its own mappings and policy, and
its first call is a first attempt there.

Each that is asked has the branch's run for as long as it is tried (`node`, `input`, `attempts`); the attempts of the others
wait in `others`. If nobody answers the branch ends as its own worker did: that is what has to be mended.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeAlias

from dispatcher.layers.shape import unusable
from dispatcher.layers.types import Attempt, BranchCall, BranchLayer, BranchRun, Now, Relay, Sink
from dispatcher.model.deadlines import MIN_ATTEMPT
from dispatcher.model.plan import Fallback, Node
from dispatcher.model.reading import Input, Unreadable
from dispatcher.policies.books import Books
from dispatcher.policies.fallback import NoFallback, cause, worth
from fanmesh.model.fault import Fault, FaultKind
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.values import JsonValue

Box: TypeAlias = Callable[[JsonValue], Input]
"""Wraps a mapped value as an input."""


class Turn(NamedTuple):
    """What a run has of its own worker, while a fallback has the run."""

    node: Node
    input: Input
    attempts: list[Attempt]
    deciding: Attempt | None


def fallback(books: Books, *, now: Now, box: Box) -> BranchLayer:
    """Ask the fallbacks of a branch that has some, one after the other, while that is worth it; all others pass."""

    def layer(call: BranchCall) -> BranchCall:
        def replaceable(run: BranchRun, sink: Sink) -> Coroutine[Any, Any, Outcome]:
            return replaced(run, sink) if run.node.fallbacks else call(run, sink)

        async def replaced(run: BranchRun, sink: Sink) -> Outcome:
            relay = run.relay = run.relay or Relay()
            relay.patience = run.node.patience
            outcome = await call(run, sink)
            if isinstance(outcome, Success):
                return outcome
            first = last = outcome
            own = Turn(run.node, run.input, run.attempts, run.deciding)
            book = books.of(own.node.worker.name)
            for other in own.node.fallbacks:
                at = now()
                if run.ended_at is not None or _cut(last, run, at):
                    return last  # nobody waits: nothing more is spent
                why = worth(
                    last,
                    committed=_committed(run),
                    arrived=any(attempt.arrived for attempt in run.made),
                    repeatable=own.node.worker.repeatable and (other.node is None or other.node.worker.repeatable),
                    remaining=run.deadline - at,
                    least=other.least,
                )
                if why is not None:
                    book.count("fallback_denied", why.value)
                    run.note("fallback_denied", why.value, at)
                    if why is NoFallback.NO_TIME:
                        continue  # the next one may be quicker
                    break
                book.count("fallback", cause(first))
                run.note("fallback", f"{cause(last)} → {other.whom}", at)
                _set_aside(run, relay, own)
                outcome = await asked(other, run, sink, relay)
                if isinstance(outcome, Success):
                    return outcome._replace(instead=first)
                last, at = outcome, now()
                if _cut(last, run, at):
                    return last
                run.note("fallback_failed", cause(last), at)
                if _committed(run):
                    return last  # its parts are in the result
            _give_back(run, relay, own)
            return first

        async def asked(other: Fallback, run: BranchRun, sink: Sink, relay: Relay) -> Outcome:
            if other.branch:
                stood_in = await relay.stand_in(other.branch)
                return _fitting(stood_in, other, run) if isinstance(stood_in, Success) else stood_in
            if other.node is None:
                return Success(other.value)
            run.node = other.node
            if other.node.input is not None:
                value = other.node.input(run.reading())
                if isinstance(value, Unreadable):
                    return unusable(f"input of worker {other.node.worker.name}: {value.message}")
                run.input = box(value)
            relay.base = 1 + max((attempt.number for attempt in relay.others), default=-1)
            relay.patience = other.timeout
            return await call(run, sink)

        return replaceable

    return layer


def _cut(last: Fault, run: BranchRun, now: int) -> bool:
    """Whether it was cut by the branch's end. That is for flow's alarm to tell, and which of the two is first is chance."""
    return last.kind is FaultKind.LOCAL_TIMEOUT and run.deadline - now < MIN_ATTEMPT


def _committed(run: BranchRun) -> bool:
    """Whether parts of it are in the event log."""
    return not run.node.whole_only and any(attempt.parts for attempt in run.attempts)


def _fitting(answer: Success, other: Fallback, run: BranchRun) -> Outcome:
    """What another branch has answered, as this plan's merge takes it from this branch."""
    value = answer.value
    if other.output is not None:
        mapped = other.output(run.reading(value))
        if isinstance(mapped, Unreadable):
            return unusable(f"output: {mapped.message}")
        value = mapped
    why = run.unfit(value)
    return answer._replace(value=value) if why is None else unusable(why)


def _set_aside(run: BranchRun, relay: Relay, own: Turn) -> None:
    """Make room for whoever is asked next: the attempts so far are the others' now."""
    relay.others = (*relay.others, *run.attempts)
    run.attempts, run.deciding = [], None
    run.node, run.input = own.node, own.input


def _give_back(run: BranchRun, relay: Relay, own: Turn) -> None:
    """Nobody has answered: the branch ends as its own worker did."""
    mine = set(own.attempts)
    relay.others = [attempt for attempt in run.made if attempt not in mine]
    run.node, run.input, run.attempts, run.deciding = own
