"""The order of the layers. Here and nowhere else.

    branch  = observe(attempts(attempt))
    attempt = pick(shape(leaf))

Outermost first, each with the reason for its place. The numbers are those of docs/design.md; those that are missing join the
lists when they are built. A policy that is switched off is not in the stack, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from dispatcher.layers.attempts import attempts
from dispatcher.layers.observe import observe
from dispatcher.layers.pick import Endpoints, pick
from dispatcher.layers.shape import shape
from dispatcher.layers.types import Attempt, AttemptCall, AttemptLayer, BranchCall, BranchLayer, Now, Observer, Sink
from fanmesh.model.outcome import Outcome

Call = TypeVar("Call")


def stack(layers: Sequence[Callable[[Call], Call]], leaf: Call) -> Call:
    """`leaf` below `layers`, the first of them outermost. `stack([], leaf)` is the leaf."""
    for layer in reversed(layers):
        leaf = layer(leaf)
    return leaf


async def leaf(attempt: Attempt, sink: Sink) -> Outcome:
    """7: the only I/O, and the only attempt timer. The endpoint is a gRPC channel, or a coroutine of this process."""
    outcome: Outcome = await attempt.endpoint.call(attempt, sink)
    return outcome


def attempt_stack(endpoints: Endpoints) -> AttemptCall:
    """What one attempt passes through."""
    layers: list[AttemptLayer] = [
        pick(endpoints),  # 5: below attempts, so that each may go elsewhere; no await from here to the wire
        shape,  # 6½: an answer the plan cannot use is a fault of this attempt, and another attempt may do better
    ]
    innermost: AttemptCall = leaf
    return stack(layers, innermost)


def branch_stack(endpoints: Endpoints, *, now: Now, observer: Observer) -> BranchCall:
    """What one branch passes through."""
    layers: list[BranchLayer] = [
        observe(observer),  # 1: outermost, so that a branch counts once whatever happens below
    ]
    joint = attempts(attempt_stack(endpoints), now=now, observer=observer)  # 3: the joint between branch and attempts
    return stack(layers, joint)
