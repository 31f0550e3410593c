"""Three layers above the leaf, twice: as everybody writes them first, and as three dispatchers.

Naive: each layer tries three times, whatever the failure, with a growing and jittered pause; nobody knows of anybody. Three
layers are 3 · 3 · 3 = 27 attempts. Ours: the same three attempts and pauses in each layer, by its policies. What a dispatcher
tells its caller when it gives up, a status and a pushback of −1, is carried from layer to layer as on the wire.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from bench.storm.leaf import Leaf
from dispatcher.flow.dispatch import dispatch
from dispatcher.layers.types import Attempt, Sink
from dispatcher.model.request import Request
from fanmesh.model.fault import Code, Fault, FaultKind, Origin
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.states import AttemptKind
from fanmesh.model.times import MS, SECOND
from fanmesh.payload import Box
from fanmesh.testing import FakeWorker, Lab
from fanmesh.testing.scripts import virtual_sleep

LAYERS: Final = 3
TRIES: Final = 3
PATIENCE: Final = 10 * SECOND
"""How long a caller waits for everything."""

PER_TRY: Final = 250 * MS
"""How long the last layer waits for the leaf: five times what an answer takes."""

Call: TypeAlias = Callable[[str], Awaitable[Outcome]]
"""What a layer offers to the one above: the request's name in, how it ended out."""


def naive(leaf: Leaf, seed: int) -> Call:
    """Three nested loops."""
    dice = random.Random(seed)  # noqa: S311  (a simulation)

    async def last(request: str) -> Outcome:
        return await _at_most(PER_TRY, leaf.serve(request))

    def layer(below: Call) -> Call:
        async def call(request: str) -> Outcome:
            outcome = await below(request)
            for again in range(1, TRIES):
                if isinstance(outcome, Success):
                    break
                await virtual_sleep(int(dice.random() * 50 * MS * 2 ** (again - 1)))
                outcome = await below(request)
            return outcome

        return call

    top = layer(layer(layer(last)))

    async def patient(request: str) -> Outcome:
        return await _at_most(PATIENCE, top(request))

    return patient


async def _at_most(ns: int, call: Awaitable[Outcome]) -> Outcome:
    try:
        return await asyncio.wait_for(call, ns / SECOND)
    except TimeoutError:
        return Fault(FaultKind.LOCAL_TIMEOUT, Code.DEADLINE_EXCEEDED, origin=Origin.LOCAL, retryable=True)


def policy(*, breaker: bool, last: bool) -> dict[str, Any]:
    """The standard policy with the pauses and the time of an attempt that the naive one has, too."""
    retry: dict[str, Any] = {"max_attempts": TRIES}
    if last:
        retry["per_try_timeout"] = f"{PER_TRY // MS}ms"
    return {"extends": "standard", "retry": retry} | ({} if breaker else {"breaker": None})


def config(*, breaker: bool, last: bool) -> dict[str, Any]:
    """One dispatcher: one plan with one branch, to the layer below."""
    return {
        "version": 1,
        "policies": {"p": policy(breaker=breaker, last=last)},
        "workers": {"below": {"target": "127.0.0.1:1", "effect": "read", "policy": "p"}},
        "plans": {"p": {"budget": {"latency": f"{PATIENCE // SECOND}s"}, "branches": {"below": {}}}},
        "routes": [{"plan": "p"}],
    }


class Below(FakeWorker):
    """The layer below, as the endpoint of a dispatcher. `deaf`: its pushback gets lost on the way."""

    def __init__(self, name: str, lab: Lab, serve: Callable[[Attempt], Awaitable[Outcome]], *, deaf: bool) -> None:
        super().__init__(name, clock=lab.clock)
        self._serve = serve
        self._deaf = deaf

    async def _play(self, attempt: Attempt, sink: Sink) -> Outcome:  # noqa: ARG002  (nothing comes in parts)
        self.kinds.append(attempt.kind)
        outcome = await self._serve(attempt)
        if self._deaf and isinstance(outcome, Fault):
            outcome.retry_after = None
        return outcome


class Mesh:
    """Three dispatchers, the last of which calls the leaf. `heeds` False: the layers do not hear each other's pushback."""

    def __init__(self, leaf: Leaf, seed: int, *, breaker: bool = True, heeds: bool = True) -> None:
        async def serve(attempt: Attempt) -> Outcome:
            return await leaf.serve(attempt.run.request.id)

        self.labs: list[Lab] = []
        below: Callable[[Attempt], Awaitable[Outcome]] = serve
        for layer in range(LAYERS, 0, -1):
            lab = Lab(config(breaker=breaker, last=layer == LAYERS), seed=seed + layer)
            lab.worker("below").members = [Below(f"layer-{layer + 1}", lab, below, deaf=not heeds)]
            self.labs.append(lab)
            below = _nested(lab)
        self._top = self.labs[-1]

    @property
    def kinds(self) -> list[list[AttemptKind]]:
        """The attempts that each layer made, the outermost first."""
        return [lab.worker("below").members[0].kinds for lab in reversed(self.labs)]

    async def call(self, request: str) -> Outcome:
        """From the outermost caller."""
        return await _dispatched(self._top, request, PATIENCE, AttemptKind.FIRST)


def _nested(lab: Lab) -> Callable[[Attempt], Awaitable[Outcome]]:
    async def serve(attempt: Attempt) -> Outcome:
        left = attempt.deadline - lab.clock.now()
        return await _dispatched(lab, attempt.run.request.id, left, attempt.kind)

    return serve


async def _dispatched(lab: Lab, name: str, left: int, kind: AttemptKind) -> Outcome:
    """What a dispatcher's caller sees of its reply: the answer, or status and pushback."""
    request = Request(name, "p", Box.of(None), lab.clock.now(), remaining=left, inherited=kind)
    reply = await dispatch(lab._engine, lab.config.catalogue, request)
    if (refusal := reply.refusal) is None:
        return Success("done")
    again = refusal.code is Code.UNAVAILABLE
    return Fault(FaultKind.WORKER_ERROR, refusal.code, refusal.message, retryable=again, retry_after=refusal.pushback)
