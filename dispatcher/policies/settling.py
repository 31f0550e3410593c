"""What an attempt's ending means to the books: breaker, latencies, permits. The table "What each ending does", in code."""

from __future__ import annotations

from typing import Final

from dispatcher.model.policy import Policy
from dispatcher.policies.books import WorkerBook
from dispatcher.policies.breaker import Judgement, State, Transition, judge
from dispatcher.policies.picking import Picked
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Success

OUT_OF_TIME: Final = Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, origin=Origin.LOCAL)

SUCCESS: Final = Judgement.SUCCESS
"""Bound once: on Python 3.11 reading a member through its class costs as much as the rest of the line."""


def settle(
    book: WorkerBook,
    picked: Picked,
    policy: Policy,
    outcome: Outcome | None,
    *,
    sent_at: int,
    deadline: int,
    answered_at: int | None,
    now: int,
    u: float,
) -> Transition | None:
    """Give back what the attempt had taken, and learn from it. None = we cancelled it.

    `answered_at`: when its first part came, for a stream: that is its latency, because that is what a race is decided by.
    `deadline`: the attempt's own. An attempt that had less than its usual latency says nothing about its endpoint. One that was
    cancelled at its deadline ran out of time: whether flow's alarm or the transport's timer is first is chance.
    """
    endpoint = picked.book
    endpoint.in_flight.release()
    elapsed = (now if answered_at is None else answered_at) - sent_at
    if isinstance(outcome, Success):
        endpoint.ewma.observe(elapsed, now)
        book.latencies.observe(elapsed, now)
        judgement = SUCCESS
    elif outcome is None and now < deadline:
        book.latencies.censored(elapsed, now)
        if elapsed > endpoint.ewma.estimate(now):  # it would have taken longer still
            endpoint.ewma.observe(elapsed, now)
        judgement = Judgement.NEUTRAL
    else:
        fault = OUT_OF_TIME if outcome is None else outcome
        fair = fault.code is not Code.DEADLINE_EXCEEDED or deadline - sent_at >= (book.latencies.usual(now) or 0)
        judgement = judge(fault, fair=fair)
        if fault.kind is FaultKind.LOCAL_TIMEOUT:
            book.latencies.censored(elapsed, now)
        if judgement in {Judgement.FAILURE, Judgement.LIMITED}:
            endpoint.ewma.penalise(elapsed, now)
    if policy.breaker is None or picked.permit.generation < 0:
        return None
    change = endpoint.breaker.settle(picked.permit, judgement, policy.breaker, now, u)
    if change is not None:
        book.count("breaker", change.why.value)
        book.recount()
        if change.after is State.OPEN:
            book.trial_at = now + policy.breaker.open_initial
    return change
