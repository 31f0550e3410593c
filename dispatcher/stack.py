"""The order of the layers. Here and nowhere else.

    branch  = observe(cache(fallback(queue(attempts(attempt)))))
    attempt = choose(inject(shape(leaf)))

Outermost first, each with the reason for its place. The numbers are those of docs/design.md; those that are missing join the
lists when they are built. A policy that is switched off for a worker is the identity for its calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from dispatcher.layers.attempts import attempts
from dispatcher.layers.cache import Answers, cache
from dispatcher.layers.fallback import Box, fallback
from dispatcher.layers.flight import Track
from dispatcher.layers.inject import Sleep, faults
from dispatcher.layers.observe import observe
from dispatcher.layers.pick import Endpoints, choose
from dispatcher.layers.queue import queue
from dispatcher.layers.shape import shape
from dispatcher.layers.types import Attempt, AttemptCall, AttemptLayer, BranchCall, BranchLayer, Now, Observer, Sink, Uniform
from dispatcher.policies.books import Books
from dispatcher.policies.overload import Stage
from fanmesh.model.outcome import Outcome

Call = TypeVar("Call")


class Surroundings(NamedTuple):
    """What the layers of a process share. `stage`: how overloaded it is; `uniform`: random numbers in [0, 1).

    `answers`: how answers are told apart; `box` wraps a mapped value as an input.
    """

    endpoints: Endpoints
    books: Books
    now: Now
    sleep: Sleep
    uniform: Uniform
    observer: Observer
    stage: Callable[[], Stage]
    answers: Answers
    box: Box


def stack(layers: Sequence[Callable[[Call], Call]], leaf: Call) -> Call:
    """`leaf` below `layers`, the first of them outermost. `stack([], leaf)` is the leaf."""
    for layer in reversed(layers):
        leaf = layer(leaf)
    return leaf


async def leaf(attempt: Attempt, sink: Sink) -> Outcome:
    """7: the only I/O, and the only attempt timer. The endpoint is a gRPC channel, or a coroutine of this process."""
    outcome: Outcome = await attempt.endpoint.call(attempt, sink)
    return outcome


def attempt_stack(around: Surroundings) -> AttemptCall:
    """What one attempt passes through."""
    endpoints, books, now, sleep, uniform, *_ = around
    layers: list[AttemptLayer] = [
        choose(endpoints, books, now=now, uniform=uniform),  # 5: below attempts, so that each may go elsewhere; takes its
        # permits without awaiting, and nothing is awaited from here to the wire
        faults(books, now=now, sleep=sleep),  # 6: innermost, so that injected faults look like the network
        shape,  # 6½: an answer the plan cannot use is a fault of this attempt, and another attempt may do better
    ]
    innermost: AttemptCall = leaf
    return stack(layers, innermost)


def branch_stack(around: Surroundings) -> BranchCall:
    """What one branch passes through."""
    layers: list[BranchLayer] = [
        observe(around.observer),  # 1: outermost, so that a branch counts once whatever happens below
        cache(around.books, around.answers, now=around.now),  # 1¼: above the queue, so that an answer that is there, or on
        # its way, takes no place of the worker; above fallback, so that an older answer is the last thing that is tried
        fallback(around.books, now=around.now, box=around.box),  # 1½: above the queue, so that who is asked instead has its own
        # queue, attempts and books; below observe, so that it stays one branch with one deadline
        queue(around.books, now=around.now),  # 2: waiting happens once, above attempts, so that nothing below ever queues
    ]
    _, books, now, _, uniform, observer, stage, *_ = around
    joint = attempts(Track(attempt_stack(around), books, now, uniform, observer, stage))  # 3: the joint between the kinds;
    # retry and hedge in one, above pick so that each attempt may go elsewhere; their timers start at the send
    return stack(layers, joint)
