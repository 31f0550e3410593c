"""Which endpoint an attempt goes to, with every permit it needs: breaker, in-flight limit, rate.

Choosing and taking permits is one synchronous step, because between "it is free" and "it is mine" nothing may change. A refusal
costs nothing: the next candidate is asked, and only when none is left is the attempt refused, with the reason.

Endpoints whose breaker is open are left out, but never more than half of them: the survivors must not be handed the whole load
(Envoy's max_ejection_percent). When none is closed there is nobody to spare, and the worker fails open by a trickle: beside the
probes of each breaker, one call per `open_initial`. See docs/decisions/0013.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from dispatcher.model.policy import Balance, BreakerRule, LimitRule, Policy
from dispatcher.policies.books import EndpointBook, WorkerBook
from dispatcher.policies.breaker import Permit, State
from dispatcher.policies.ewma import load, two
from fanmesh.model.fault import Code, Fault, FaultKind, Origin

# Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line.
CLOSED: Final = State.CLOSED
P2C_EWMA: Final = Balance.P2C_EWMA

STRANGER: Final = Permit(-1, probe=False)
"""The permit of a call that the breaker has not given: whatever comes of it touches no state."""


class Target(Protocol):
    """An endpoint as far as choosing it goes. `spare`: a second connection to an address that has one already."""

    @property
    def address(self) -> str:
        """`host:port`."""
        ...

    @property
    def spare(self) -> bool:
        """Whether it is only for a further attempt beside one at the same address."""
        ...

    def ready(self) -> bool:
        """Whether it is connected, or has not been tried yet."""
        ...


class Ask(NamedTuple):
    """What is asked of a choice. `tried`: (address, spare) of earlier attempts. `elsewhere`: only another will do (a hedge).

    `until`: when the attempt's time is over, ns.
    """

    policy: Policy
    limit: LimitRule
    tried: Sequence[tuple[str, bool]]
    elsewhere: bool
    until: int


class Picked(NamedTuple):
    """Where to go, and what was taken there: `settle` gives it back. `forced`: although its breaker is open."""

    at: int
    book: EndpointBook
    permit: Permit
    forced: bool = False


def quick(
    book: WorkerBook, targets: Sequence[Target], policy: Policy, limit: LimitRule, now: int, u: float, v: float
) -> Picked | None:
    """What `pick` chooses where nothing is out of the ordinary, at half the price; None: there may be, ask `pick`.

    For a first attempt: all breakers are closed, and who is drawn is connected and below its own limits.
    """
    count = len(targets)
    if book.shut:
        return None
    if count == 1:
        at, endpoint = 0, book.endpoint(targets[0].address)
        if targets[0].spare:
            return None
    elif policy.balance is P2C_EWMA and count:
        first, second = two(count, u, v)
        one, other = targets[first], targets[second]
        if one.spare or other.spare or not (one.ready() and other.ready()):
            return None
        at, endpoint = _less(first, book.endpoint(one.address), second, book.endpoint(other.address), now)
    else:
        return None
    if limit.of_endpoint and _full(endpoint, limit, now) is not None:
        return None
    permit = STRANGER if policy.breaker is None else endpoint.breaker.acquire(now, now) or STRANGER  # it is closed
    return _taken(at, endpoint, permit, limit, now)


def _less(first: int, one: EndpointBook, second: int, other: EndpointBook, now: int) -> tuple[int, EndpointBook]:
    """The less loaded of two, with its position; a tie: the first.

    An endpoint without samples is judged by its outstanding calls alone, as if it were as fast as the other (a neutral prior).
    """
    a, b = one.in_flight.count, other.in_flight.count
    if one.ewma.samples and other.ewma.samples:
        better = load(other.ewma.estimate(now), b) < load(one.ewma.estimate(now), a)
    else:
        better = b < a
    return (second, other) if better else (first, one)


def pick(book: WorkerBook, targets: Sequence[Target], ask: Ask, now: int, u: float, v: float) -> Picked | Fault:
    """Choose among `targets`. A fault says why nobody may be called; nothing has been taken then. `u`, `v` in [0, 1)."""
    tried, rule = ask.tried, ask.policy.breaker
    known = [book.endpoint(target.address) for target in targets]
    allowed = [i for i, target in enumerate(targets) if not target.spare or (target.address, False) in tried]
    if not allowed:
        return nowhere(book.name, "")
    forced: list[int] = []
    if rule is not None:
        shut = [i for i in allowed if known[i].breaker.state is not CLOSED]
        if shut:
            if not ask.elsewhere and (probing := _probe(book, targets, known, shut, ask, now)) is not None:
                return probing
            if len(shut) == len(allowed):
                return _trickle(book, targets, known, shut, rule, ask, now)
            forced = sorted(shut, key=lambda i: known[i].breaker.retry_at)[: max(0, len(shut) - len(allowed) // 2)]
            allowed = [i for i in allowed if i not in shut or i in forced]
    left = _preferred(targets, allowed, forced, ask)
    return _choose(book, left, known, forced, ask, now, u, v)


def _preferred(targets: Sequence[Target], allowed: list[int], forced: list[int], ask: Ask) -> list[int]:
    """Those that have not been tried, and of these those that are connected, as far as there are any.

    Once all have been tried they may be tried again, but not those whose breaker is open: that would be a probe twice.
    """
    left = allowed
    if ask.tried:
        left = [i for i in allowed if (targets[i].address, targets[i].spare) not in ask.tried]
        if not left and not ask.elsewhere:
            left = [i for i in allowed if i not in forced]
    if len(left) > 1:
        left = [i for i in left if targets[i].ready()] or left
    return left


def _choose(
    book: WorkerBook,
    left: list[int],
    known: list[EndpointBook],
    forced: list[int],
    ask: Ask,
    now: int,
    u: float,
    v: float,
) -> Picked | Fault:
    """The better one of `left` that has room."""
    why = FaultKind.OVERLOADED
    left = list(left)
    while left:
        at = _position(book, left, known, ask.policy.balance, now, u, v)
        index = left.pop(at)
        endpoint = known[index]
        if (full := _full(endpoint, ask.limit, now)) is not None:
            why = full
            continue
        if ask.policy.breaker is None:
            return _taken(index, endpoint, STRANGER, ask.limit, now)
        if index in forced:
            book.fail_open += 1
            return _taken(index, endpoint, STRANGER, ask.limit, now)._replace(forced=True)
        return _taken(index, endpoint, endpoint.breaker.acquire(now, ask.until) or STRANGER, ask.limit, now)  # it is closed
    return refused(why)


def _position(
    book: WorkerBook, left: list[int], known: list[EndpointBook], balance: Balance, now: int, u: float, v: float
) -> int:
    """Where in `left` the one to ask next stands: the less loaded of two that are drawn, or the one whose turn it is."""
    count = len(left)
    if count == 1:
        return 0
    if balance is Balance.ROUND_ROBIN:
        book.turn += 1
        return (book.turn - 1) % count
    first, second = two(count, u, v)
    return _less(first, known[left[first]], second, known[left[second]], now)[0]


def _probe(
    book: WorkerBook, targets: Sequence[Target], known: list[EndpointBook], shut: list[int], ask: Ask, now: int
) -> Picked | None:
    """A real call finds out whether an endpoint that is due has recovered; if not, another attempt may go elsewhere."""
    for index in shut:
        target, endpoint = targets[index], known[index]
        if target.spare or (target.address, False) in ask.tried or not endpoint.breaker.admits(now):
            continue
        if _full(endpoint, ask.limit, now) is None and (permit := endpoint.breaker.acquire(now, ask.until)) is not None:
            book.count("breaker", "probe")
            return _taken(index, endpoint, permit, ask.limit, now)
    return None


def _trickle(
    book: WorkerBook,
    targets: Sequence[Target],
    known: list[EndpointBook],
    shut: list[int],
    rule: BreakerRule,
    ask: Ask,
    now: int,
) -> Picked | Fault:
    """No endpoint is closed: one call per `open_initial` goes to the one that would be probed next, all others are refused."""
    if now < book.trial_at or ask.elsewhere:
        return refused(FaultKind.BREAKER_OPEN)
    for index in sorted(shut, key=lambda i: known[i].breaker.retry_at):
        endpoint = known[index]
        target = targets[index]
        if target.spare or (target.address, False) in ask.tried or _full(endpoint, ask.limit, now) is not None:
            continue
        if (permit := endpoint.breaker.acquire(now, ask.until, trial=True)) is not None:
            book.trial_at = now + rule.open_initial
            book.fail_open += 1
            return _taken(index, endpoint, permit, ask.limit, now)._replace(forced=True)
    return refused(FaultKind.BREAKER_OPEN)


def _full(endpoint: EndpointBook, limit: LimitRule, now: int) -> FaultKind | None:
    """Why the endpoint's own limits have no room."""
    if not endpoint.in_flight.free(limit.endpoint_in_flight):
        return FaultKind.OVERLOADED
    return None if limit.rate is None or endpoint.rate.free(limit.rate, now) else FaultKind.RATE_LIMITED


def _taken(index: int, endpoint: EndpointBook, permit: Permit, limit: LimitRule, now: int) -> Picked:
    endpoint.in_flight.take(None)
    if limit.rate is not None:
        endpoint.rate.take(limit.rate, now)
    return Picked(index, endpoint, permit)


WORDS: Final = {
    FaultKind.BREAKER_OPEN: (Code.UNAVAILABLE, "every endpoint's breaker is open"),
    FaultKind.OVERLOADED: (Code.RESOURCE_EXHAUSTED, "every endpoint is at its in-flight limit"),
    FaultKind.RATE_LIMITED: (Code.RESOURCE_EXHAUSTED, "every endpoint is at its rate limit"),
}


def refused(why: FaultKind) -> Fault:
    """Nobody may be called now."""
    code, text = WORDS[why]
    return Fault(why, code, text, origin=Origin.LOCAL, sent=False)


def nowhere(worker: str, target: str) -> Fault:
    """No address is known."""
    text = f"worker {worker}: no address is known for {target}"
    return Fault(FaultKind.WORKER_ERROR, Code.UNAVAILABLE, text, origin=Origin.LOCAL, sent=False, retryable=True)
