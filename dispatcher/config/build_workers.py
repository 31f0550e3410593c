"""Models → workers, with their policy, limit and faults as the values that will run."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from dispatcher.config.addresses import is_one
from dispatcher.config.policies import Policies
from dispatcher.config.shape import FileShape, WorkerShape
from dispatcher.config.shape_protection import FaultsShape, LimitShape, RateShape
from dispatcher.model.method import Method
from dispatcher.model.plan import Effect, Worker
from dispatcher.model.policy import NO_LIMIT, FaultRule, LimitRule, RateRule


def build_workers(shape: FileShape, policies: Policies, methods: Mapping[str, Method]) -> dict[str, Worker]:
    """The workers that the file declares, by name. `methods`: those of the ones that are no workers of ours."""
    return {name: _worker(name, worker, policies, methods.get(name)) for name, worker in shape.workers.items()}


def _worker(name: str, worker: WorkerShape, policies: Policies, method: Method | None) -> Worker:
    target = worker.target or ""
    return Worker(
        name=name,
        target=target,
        effect=Effect(worker.effect),
        endpoints=tuple(worker.endpoints) if isinstance(worker.endpoints, list) else (),
        streams=worker.stream,
        attributes=tuple(worker.attributes),
        opaque=worker.endpoints == "opaque" or is_one(target),
        idempotent=worker.idempotent,
        policy=policies.of(worker),
        limit=_limit(worker.limit),
        faults=_faults(worker.faults),
        method=method,
        metadata=tuple(worker.metadata),
        transport=worker.transport or ("grpcio" if target.startswith("xds:") else ""),  # which is all that knows xds
        compression=worker.compression,
    )


def _limit(limit: LimitShape | None) -> LimitRule:
    if limit is None:
        return NO_LIMIT
    queue = limit.in_flight or 0 if limit.queue is None else limit.queue
    return LimitRule(limit.in_flight, queue, limit.endpoint_in_flight, _rate(limit.rate))


def _rate(rate: RateShape | None) -> RateRule | None:
    if rate is None:
        return None
    return RateRule(rate.per_second, max(1, ceil(rate.per_second / 10)) if rate.burst is None else rate.burst)


def _faults(faults: FaultsShape | None) -> FaultRule | None:
    """None also for a section that asks for no fault: then there is no layer that could put one in."""
    if faults is None or (faults.delay is None and faults.abort is None):
        return None
    rule = FaultRule(seed=faults.seed, headers=faults.headers)
    delay, abort = faults.delay, faults.abort
    return FaultRule(
        delay_share=delay.percent / 100 if delay is not None else rule.delay_share,
        delay=delay.of if delay is not None else rule.delay,
        abort_share=abort.percent / 100 if abort is not None else rule.abort_share,
        abort_code=abort.code if abort is not None else rule.abort_code,
        seed=faults.seed,
        headers=faults.headers,
    )
