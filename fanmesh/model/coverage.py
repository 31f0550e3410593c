"""How much of a plan answered, and why the rest is missing. Counted once, here, for snapshots and reports alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from fanmesh.model.exact import exact, units
from fanmesh.model.states import BranchReason, BranchState

R, S = BranchReason, BranchState


class Tally(NamedTuple):
    """What coverage needs to know of a branch, or of a leaf: that one's weight is a fraction of its node's."""

    state: BranchState
    reason: BranchReason
    weight: float | Fraction
    started: bool


class Coverage(NamedTuple):
    """Counts are of branches, `ratio` is of weights: Σ weight of SUCCEEDED and FELL_BACK over Σ weight of those that count."""

    ratio: float = 0.0
    weight_ok: float = 0.0
    weight_total: float = 0.0
    planned: int = 0
    started: int = 0
    succeeded: int = 0
    defaulted: int = 0
    fell_back: int = 0
    failed: int = 0
    timed_out: int = 0
    skipped: int = 0
    rejected: int = 0
    cancelled: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Degraded:
    """Why a result is less than it could be. The bits are not exclusive."""

    soft_timeout: bool = False
    hard_timeout: bool = False
    breaker: bool = False
    budget: bool = False
    overload: bool = False
    missing_input: bool = False
    defaulted: bool = False
    error: bool = False
    partial_branch: bool = False

    def __bool__(self) -> bool:
        """Whether any bit is set."""
        return self != UNDEGRADED

    def names(self) -> tuple[str, ...]:
        """The names of the bits that are set."""
        return tuple(name for name in self.__slots__ if getattr(self, name))


UNDEGRADED: Final = Degraded()

OUTSIDE: Final = frozenset({R.CONDITION, R.ROLLOUT})
"""Reasons for which a SKIPPED branch does not count: the plan itself said that it is not wanted."""

BITS: Final[dict[BranchReason, str]] = {
    R.SOFT_TIMEOUT: "soft_timeout",
    R.HARD_TIMEOUT: "hard_timeout",
    R.REQUEST_DEADLINE: "hard_timeout",
    R.NOT_STARTED_NO_TIME: "hard_timeout",
    R.BREAKER_OPEN: "breaker",
    R.BUDGET: "budget",
    R.OVERLOAD: "overload",
    R.RATE_LIMIT: "overload",
    R.UPSTREAM_MISSING: "missing_input",
    R.CONDITION_ERROR: "error",
    R.WORKER_ERROR: "error",
    R.STREAM_BROKEN: "error",
    R.INVALID_RESPONSE: "error",
    R.TOO_LARGE: "error",
}
"""The Degraded bit of each reason; reasons that are not here set none."""

_COUNTERS: Final = (S.SUCCEEDED, S.DEFAULTED, S.FELL_BACK, S.FAILED, S.TIMED_OUT, S.SKIPPED, S.REJECTED, S.CANCELLED, S.PENDING)
"""The states in the order of their counters in Coverage."""


def counts_in(state: BranchState, reason: BranchReason) -> bool:
    """Whether a branch is in the denominator: always, unless the plan itself excluded it."""
    return state is not S.SKIPPED or reason not in OUTSIDE


def cover(branches: Iterable[Tally | tuple[BranchState, BranchReason, float | Fraction, bool]]) -> Coverage:
    """Add up, exactly (see `exact`), so that neither order nor rounding can make 9 of 10 less than 0.9. 0/0 = 0."""
    weighed: dict[float | Fraction, list[int]] = {}  # by weight: how many answered, and how many count
    last: float | Fraction | None = None
    here = [0, 0]
    planned = started = 0
    counts = [0] * (len(S) + 1)  # by the number of the state
    succeeded, fell_back = S.SUCCEEDED, S.FELL_BACK
    for state, reason, weight, was_started in branches:
        planned += 1
        started += was_started
        counts[state] += 1
        if weight is not last:  # leaves share theirs, and a fraction takes long to look up
            last = weight
            here = weighed.setdefault(weight, [0, 0])
        if state is succeeded or state is fell_back:
            here[0] += 1
            here[1] += 1
        elif counts_in(state, reason):
            here[1] += 1
    shares, one = units(tuple(weighed))
    ok = total = 0
    for share, (answered, counted) in zip(shares, weighed.values(), strict=True):
        ok += share * answered
        total += share * counted
    ratio = ok / total if total else 0.0
    return Coverage(ratio, ok / one, total / one, planned, started, *(counts[state] for state in _COUNTERS))


def leaf_tallies(
    leaves: Iterable[tuple[BranchState, BranchReason, bool]],
    count: int,
    weight: float,
    state: BranchState,
    reason: BranchReason,
) -> Iterator[Tally]:
    """(state, reason, started) of each of a node's `count` leaves, which share its weight, as tallies.

    Where the node has failed, or was not needed, an answer of a leaf has gone with it: it counts as its node does.
    """
    share = exact(weight) / count
    lost = state not in (S.PENDING, S.SUCCEEDED)
    for own, why, started in leaves:
        gone = lost and own in (S.SUCCEEDED, S.FELL_BACK, S.DEFAULTED)
        yield Tally(state if gone else own, reason if gone else why, share, started)


def degraded(branches: Iterable[tuple[BranchState, BranchReason, bool]]) -> Degraded:
    """The bits for (state, reason, kept partial stream) of each branch."""
    bits: set[str] = set()
    for state, reason, partial in branches:
        if state is S.SUCCEEDED:
            continue
        if (bit := BITS.get(reason)) is not None:
            bits.add(bit)
        if state is S.DEFAULTED:
            bits.add("defaulted")
        if partial:
            bits.add("partial_branch")
    return Degraded(**dict.fromkeys(bits, True)) if bits else UNDEGRADED
