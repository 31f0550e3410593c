"""How an engine is put together, whoever it is for: a server, a program that embeds it, the Lab, `fanout`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dispatcher.config import MergeCatalogue
from dispatcher.flow.ports import AggregationSession, Clock, Deliver, Engine, Reaper, RequestObserver
from dispatcher.layers.inject import Sleep
from dispatcher.layers.pick import Endpoints
from dispatcher.layers.types import Uniform
from dispatcher.model.request import Refusal
from dispatcher.policies.books import Books
from dispatcher.policies.overload import Stage
from dispatcher.stack import Surroundings, branch_stack
from dispatcher.wire.aggregator_embedded import Accumulator, EmbeddedSession, compile_merge, merge_schema
from dispatcher.wire.answers import ANSWERS
from dispatcher.wire.contracts import describe
from fanmesh.model.report import Report
from fanmesh.payload import Box
from fanmesh.result import DispatchFailed
from fanmesh.runtime.clock import sleep as real_sleep
from fanmesh.runtime.clock import uniform as random_uniform
from fanmesh.runtime.functions import resolve

MERGES: Final = MergeCatalogue(compile_merge, merge_schema(), resolve, describe)
"""The merges there are, and what foreign methods take, for loading a configuration."""


def embedded(deliver: Deliver, _deadline: int) -> AggregationSession:
    """Fold in this process."""
    return EmbeddedSession(deliver)


def assemble(
    *,
    clock: Clock,
    endpoints: Endpoints,
    observer: RequestObserver,
    reaper: Reaper,
    aggregate: Callable[[Deliver, int], AggregationSession] = embedded,
    books: Books | None = None,
    stage: Callable[[], Stage] = lambda: Stage.CALM,
    sleep: Sleep = real_sleep,
    uniform: Uniform = random_uniform,
) -> Engine:
    """An engine; without `aggregate` the fold runs in this process, without `books` nothing is known of any worker yet."""
    known = books if books is not None else Books()
    around = Surroundings(endpoints, known, clock.now, sleep, uniform, observer, stage, ANSWERS, Box.of)
    return Engine(
        clock=clock,
        branch=branch_stack(around),
        aggregate=aggregate,
        accumulator=Accumulator,
        box=Box.of,
        reaper=reaper,
        observer=observer,
        stage=stage,
    )


def failed(refusal: Refusal, report: Report | None) -> DispatchFailed:
    """A refusal as the exception that clients know."""
    return DispatchFailed(
        refusal.code, refusal.reason, refusal.message, report, retry_after=refusal.pushback, details=dict(refusal.metadata)
    )
