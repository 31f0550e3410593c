"""Configurations of one plan for the Lab, and ways to misbehave that no real worker should be able to get past the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dispatcher.flow.ports import AggregationSession, Deliver
from dispatcher.layers.types import BranchRun
from dispatcher.model.request import Refusal, Request
from dispatcher.wire.aggregator_embedded import EmbeddedSession
from dispatcher.wire.observers import Nobody
from fanmesh.model.events import Effect, Event
from fanmesh.model.fault import Code, Fault, FaultKind
from fanmesh.model.outcome import Outcome
from fanmesh.model.report import Report
from fanmesh.model.values import Value
from fanmesh.testing import Lab, Script
from fanmesh.testing.scripts import PartTaker, virtual_sleep


def plan(
    branches: Mapping[str, Mapping[str, Any]] | str,
    *,
    streaming: Collection[str] = (),
    attributes: Collection[str] = (),
    latency: str | None = "1s",
    default_policy: str = "none",
    policies: Mapping[str, Any] | None = None,
    workers: Mapping[str, Mapping[str, Any]] | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """A configuration with the one plan `p`, its branches given as in the file (or as names); each is its own worker.

    The reserve is 25 ms, so that `stop` of the default second is 975 ms. `workers`: further keys of these workers, by name.
    Nothing is retried, hedged or broken unless the test asks for it: most tests are about one attempt.
    """
    given: Mapping[str, Mapping[str, Any]] = {name: {} for name in branches.split()} if isinstance(branches, str) else branches
    budget = {} if latency is None else {"budget": {"latency": latency}}
    return {
        "version": 1,
        "attributes": list(attributes),
        "default_policy": default_policy,
        "policies": dict(policies or {}),
        "workers": {
            name: {"target": "127.0.0.1:1", "effect": "read", "stream": name in streaming, **(workers or {}).get(name, {})}
            for name in given
        },
        "plans": {"p": {"branches": {name: dict(branch) for name, branch in given.items()}, **budget, **rest}},
        "routes": [{"plan": "p"}],
    }


def raises(error: BaseException, *, after: int = 0) -> Script:
    """A bug: an exception that is no Fault comes out of the call."""

    async def play(_: Value, _take: PartTaker) -> Outcome:
        await virtual_sleep(after)
        raise error

    return Script(play, f"raises({error!r}, after={after})")


def oversize(*, after: int = 0) -> Script:
    """An answer over a size limit, as the leaf classifies it."""

    async def play(_: Value, _take: PartTaker) -> Outcome:
        await virtual_sleep(after)
        return Fault(FaultKind.TOO_LARGE, Code.RESOURCE_EXHAUSTED, "an answer of 9 bytes is over the limit of 8")

    return Script(play, f"oversize(after={after})")


def gives(outcome: Outcome, *, after: int = 0) -> Script:
    """End exactly so."""

    async def play(_: Value, _take: PartTaker) -> Outcome:
        await virtual_sleep(after)
        return outcome

    return Script(play, f"gives({outcome!r}, after={after})")


def stubborn(script: Script, *, lingers: int, then: Outcome | None = None) -> Script:
    """Swallows a cancellation for `lingers` ns; afterwards it is cancelled after all, or ends with `then`."""

    async def play(value: Value, take: PartTaker) -> Outcome:
        try:
            return await script.play(value, take)
        except asyncio.CancelledError:
            await virtual_sleep(lingers)
            if then is None:
                raise
            return then

    return Script(play, f"stubborn({script!r}, lingers={lingers}, then={then!r})")


@dataclass(slots=True)
class Recorded:
    """One request's event log, and the effects that came back."""

    log: list[Event] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)


class Recorder:
    """Opens embedded sessions that are written down: `Lab(config, aggregate=recorder.open)`."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []

    def open(self, deliver: Deliver, _end: int) -> AggregationSession:
        """A session for one request."""
        record = Recorded()
        self.requests.append(record)

        def both(effect: Effect) -> None:
            record.effects.append(effect)
            deliver(effect)

        return _Session(both, record)


class _Session(EmbeddedSession):
    __slots__ = ("_record",)

    def __init__(self, deliver: Deliver, record: Recorded) -> None:
        super().__init__(deliver)
        self._record = record

    def feed(self, event: Event) -> None:
        self._record.log.append(event)
        super().feed(event)


@dataclass
class Seen(Nobody):
    """What the engine told its observer about requests: endings, late answers, expressions that failed."""

    ended: list[tuple[Request, Report | None, Refusal | None, int]] = field(default_factory=list)
    late_branches: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def request_ended(self, request: Request, report: Report | None, refusal: Refusal | None, now: int) -> None:
        """It is over."""
        self.ended.append((request, report, refusal, now))

    def late(self, run: BranchRun) -> None:
        """It answered too late."""
        self.late_branches.append(run.node.id)

    def expression_error(self, where: str) -> None:
        """It could not be evaluated."""
        self.errors.append(where)


def watched(lab: Lab) -> Seen:
    """Let an observer see the Lab's requests from now on."""
    seen = Seen()
    lab._engine = replace(lab._engine, observer=seen)
    return seen


def caught() -> tuple[list[dict[str, Any]], Callable[[], None]]:
    """Collect what is handed to the running loop's exception handler, instead of logging it."""
    found: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: found.append(context))
    return found, lambda: loop.set_exception_handler(None)
