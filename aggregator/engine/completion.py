"""When a request is complete: the five rules, in their order.

One function that reads counts, not a set of observers per rule: the order of the rules also settles ties, and an order is best
seen in one place.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple, assert_never

from aggregator.engine.alarms import Alarms
from aggregator.engine.state import Books
from fanmesh.model.completion import CompletionRule, Grace, UntilKind
from fanmesh.model.exact import exact
from fanmesh.model.states import CompletedBy, OnFailure

K, C = UntilKind, CompletedBy

# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
ALL: Final = UntilKind.ALL
SETTLE: Final = OnFailure.SETTLE
COVERAGE: Final = UntilKind.COVERAGE
PREDICATE: Final = UntilKind.PREDICATE
CONFIDENCE: Final = UntilKind.CONFIDENCE
QUIET: Final = UntilKind.QUIET

NOT_ACCEPTED = frozenset({C.EMPTY, C.UNREACHABLE})
"""Verdicts that say by themselves that the floor does not hold."""

BY_PARTS = frozenset({C.PREDICATE, C.CONFIDENCE, C.QUIET})
"""Verdicts of rules that look at what has come of running streams, too: what they went by is part of the result."""


class Terms(NamedTuple):
    """A completion rule, ready to be decided by. `least` is the floor's coverage, `target` the one of `until: coverage`.

    `watched`: one of its rules looks at more than counts, and needs a Watch.
    """

    until: tuple[tuple[UntilKind, float], ...]
    min_success: int
    least: Fraction | None
    target: Fraction | None
    grace: Grace
    on_failure: OnFailure
    watched: bool


def terms(rule: CompletionRule) -> Terms:
    """Prepare a rule. Of several coverage targets the lowest one counts: it is met first."""
    target, watched = None, False
    for until in rule.until:
        kind = until.kind
        if kind is ALL:  # most plans have this one and no other
            continue
        if kind is COVERAGE:
            target = until.value if target is None else min(target, until.value)
        elif kind is PREDICATE or kind is CONFIDENCE or kind is QUIET:
            watched = True
    return Terms(
        tuple([(until.kind, until.value) for until in rule.until]),
        rule.min_success,
        exact(rule.min_coverage) if rule.min_coverage > 0 else None,
        None if target is None else exact(target),
        rule.grace,
        rule.on_failure,
        watched,
    )


def covers(weight: int | Fraction, total: int, share: Fraction) -> bool:
    """Whether weight / total ≥ share, exactly; 0/0 = 0."""
    return weight * share.denominator >= share.numerator * total and (total > 0 or share <= 0)


def floor_holds(terms: Terms, books: Books) -> bool:
    """Whether every node that must answer has, and `accept` is satisfied."""
    return (
        not books.must_open
        and not books.must_lost
        and books.succeeded >= terms.min_success
        and (terms.least is None or covers(books.weight_ok, books.total, terms.least))
    )


def floor_lost(terms: Terms, books: Books) -> bool:
    """Whether the floor cannot hold any more, even if every node that has not ended succeeds.

    For coverage that is the best case: a node that is excluded instead leaves the ratio where it is or lower.
    """
    return (
        books.must_lost > 0
        or books.succeeded + books.open_answers < terms.min_success
        or (terms.least is not None and not covers(books.weight_ok + books.pending, books.total, terms.least))
    )


def decide(terms: Terms, books: Books, alarms: Alarms) -> CompletedBy | None:
    """The rule that completes the request now, or None. Rules 2 to 5: the first one is stop, which time alone decides.

    A failure after which nothing more is started completes last: what the others have given may be all that was asked for.
    """
    if books.unwanted == len(books.nodes):
        return C.EMPTY
    if floor_lost(terms, books):
        return C.UNREACHABLE
    if books.must_open or not floor_holds(terms, books):  # must_open again, to save most events a call
        return _broken_off(terms, books)
    for kind, value in terms.until:
        if kind is ALL and books.unended:  # likewise
            continue
        if (by := _met(kind, value, terms, books, alarms)) is not None:
            return by
    if not books.waited or alarms.plan_soft_passed:
        return C.SOFT_TIMEOUT if books.unended else C.ALL
    return _broken_off(terms, books)


def _broken_off(terms: Terms, books: Books) -> CompletedBy | None:
    """BRANCH_FAILURE if a branch has failed, the plan goes on no further then, and nothing runs that is waited for."""
    if terms.on_failure is SETTLE or not books.failures or not books.unended:
        return None
    return None if books.running and terms.on_failure is OnFailure.STOP_NEW else C.BRANCH_FAILURE


def _met(kind: UntilKind, value: float, terms: Terms, books: Books, alarms: Alarms) -> CompletedBy | None:
    """The name of one `until` rule, if it holds. The floor holds already."""
    watch = alarms.watch
    match kind:
        case K.ALL:
            return None if books.unended else C.ALL
        case K.FIRST:
            return C.FIRST if books.succeeded else None
        case K.COUNT:
            return C.COUNT if books.succeeded >= value else None
        case K.REQUIRED:  # not on an empty set: without a required node that was to run it would fire with nothing
            return C.REQUIRED if books.must_met else None
        case K.COVERAGE:
            waited = alarms.grace_passed or not books.unended
            return C.COVERAGE if waited and coverage_met(terms, books) else None
        case K.PREDICATE:
            return C.PREDICATE if watch is not None and watch.holds else None
        case K.CONFIDENCE:
            return C.CONFIDENCE if watch is not None and watch.surest >= value else None
        case K.QUIET:
            return C.QUIET if watch is not None and watch.quiet else None
        case _:
            assert_never(kind)


def coverage_met(terms: Terms, books: Books) -> bool:
    """Whether the target of `until: coverage` is reached."""
    return terms.target is not None and covers(books.weight_ok, books.total, terms.target)


def grace_wait(terms: Terms, books: Books, remaining: int) -> int:
    """How long to wait on, in ns, now that coverage is met with `remaining` ns left: Vespa's adaptive wait.

    The share of the remaining time grows from `minimum`, when only the lightest pending node is missing, to `maximum`, when as
    much is missing as coverage allows. Rounded down.
    """
    low, high = exact(terms.grace.minimum), exact(terms.grace.maximum)
    pending = books.pending_weights()
    if not pending or not high or terms.target is None:
        return 0
    lightest = min(pending)
    room = (1 - terms.target) * books.total - lightest
    spread = Fraction(sum(pending) - lightest) / room if room > 0 else Fraction(0)
    return int(remaining * (low + (high - low) * min(spread, Fraction(1))))
