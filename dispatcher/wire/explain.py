"""Explain: what would run for a request, decided by the same functions that run it, without calling anything."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from dispatcher.flow.ports import Engine
from dispatcher.flow.prepare import fate_of, is_required, must_answer, sheds, soft_of, start_event
from dispatcher.flow.route import Routed, route
from dispatcher.flow.staging import Staging
from dispatcher.layers.pick import Endpoints
from dispatcher.layers.types import BranchRun
from dispatcher.model.caching import CacheRule
from dispatcher.model.deadlines import Deadlines, branch_deadline, divide
from dispatcher.model.each import Each
from dispatcher.model.plan import Catalogue, Fallback, Node, Plan, Worker
from dispatcher.model.request import Refusal, Request
from fanmesh.eventlog.fields import number
from fanmesh.eventlog.start import write_start
from fanmesh.model.endings import at_exclusion
from fanmesh.model.fault import Code
from fanmesh.model.states import BranchReason
from fanmesh.model.times import MS, SECOND
from fanmesh.model.values import Malformed
from fanmesh.reporting import duration
from fanmesh.v1 import aggregator_pb2, dispatcher_pb2

Explainer: TypeAlias = Callable[[Catalogue, Request], dispatcher_pb2.ExplainResponse | Refusal]


def explainer(engine: Engine, endpoints: Endpoints) -> Explainer:
    """The answer to Explain for the workers behind `endpoints`."""

    def explain(catalogue: Catalogue, request: Request) -> dispatcher_pb2.ExplainResponse | Refusal:
        try:
            chosen = route(catalogue, request, engine.observer)
            if isinstance(chosen, Refusal):
                return chosen
            return _answer(catalogue, request, chosen, engine, endpoints)
        except Malformed as malformed:
            return Refusal(Code.INVALID_ARGUMENT, "INPUT_INVALID", str(malformed), (("field", "input"),))

    return explain


def _answer(
    catalogue: Catalogue, request: Request, routed: Routed, engine: Engine, endpoints: Endpoints
) -> dispatcher_pb2.ExplainResponse:
    plan = routed.plan
    deadlines = divide(request.remaining, plan.latency, plan.merge_reserve, request.tightening.latency)
    start = aggregator_pb2.AggregateStart()
    write_start(start_event(plan, request, deadlines), into=start)
    response = dispatcher_pb2.ExplainResponse(
        plan=plan.name,
        route=routed.route,
        config_version=catalogue.version,
        total=duration(deadlines.total),
        stop=duration(deadlines.stop),
        completion=start.completion,
        merge=start.merge,
    )
    if start.predicate:
        response.predicate = start.predicate
        response.predicate_min_interval.CopyFrom(start.predicate_min_interval)
    if start.completion.HasField("soft_timeout"):
        response.soft_timeout.CopyFrom(start.completion.soft_timeout)
    stop = request.arrived + deadlines.stop
    runs = [BranchRun(request, plan, node, index, stop, _never) for index, node in enumerate(plan.nodes)]
    fates = _fates(plan, runs, engine)
    excluded = [fates.get(run.index, BranchReason.NONE) for run in runs]  # NONE is 0
    for run in runs:
        tail = 0 if plan.graph is None else plan.graph.tail(run.index, excluded)
        _node(response.nodes.add(), run, fates.get(run.index), deadlines, max(0, deadlines.stop - tail), endpoints)
    return response


def _fates(plan: Plan, runs: Sequence[BranchRun], engine: Engine) -> dict[int, BranchReason]:
    """Why nodes would not run, or NONE, by position; without those about which that is not known before others have ended."""
    if plan.graph is None:
        shed = sheds(runs, engine)
        return {run.index: fate_of(run, engine, shed=shed) for run in runs}
    fates: dict[int, BranchReason] = {}
    staging = Staging(plan.graph, runs, {}, engine)
    turns = deque(staging.first())
    while turns:
        step = turns.popleft()
        run = runs[step.node]
        if run.index in fates or (fate := staging.fate(step)) is None:
            continue
        fates[run.index] = fate
        if fate is not BranchReason.NONE:
            run.state, run.reason = at_exclusion(fate, must=must_answer(run.node, run.request)), fate
            turns.extend(staging.ended(run.index))
    return fates


def _node(
    out: dispatcher_pb2.ExplainNode,
    run: BranchRun,
    known: BranchReason | None,
    deadlines: Deadlines,
    ends_by: int,
    endpoints: Endpoints,
) -> None:
    """`known`: why it would not run, or NONE if it would; None: that depends on others."""
    node, request, fate = run.node, run.request, known or BranchReason.NONE
    out.branch, out.worker, out.target = node.id, node.worker.name, node.worker.target
    out.endpoints.extend(endpoint.address for endpoint in endpoints(node.worker))
    out.runs = fate is BranchReason.NONE
    if not out.runs:
        out.reason = number(fate)
    out.condition = node.condition_source
    if node.each is not None:
        out.for_each = _each(node.each, run)
    out.required = is_required(node, request)
    out.weight = node.weight
    if (soft := soft_of(node, request, deadlines)) is not None:
        out.soft_timeout.CopyFrom(duration(soft))
    out.deadline.CopyFrom(duration(branch_deadline(0, node.timeout, ends_by)))
    out.ends_by.CopyFrom(duration(ends_by))
    edges = node.edges
    for told, waited in ((out.waits_for, edges.all()), (out.asks, edges.asks), (out.feeds, edges.feeds)):
        told.extend(other.id for other in run.plan.nodes if other.id in waited)
    out.conditional = bool(edges.asks) and known is None
    if node.min_time:
        out.min_time.CopyFrom(duration(node.min_time))
    if node.sla is not None:
        out.sla.CopyFrom(duration(node.sla))
    out.if_missing = number(node.if_missing)
    layers = layers_of(node)
    out.layers.extend(layers if not node.fallbacks else [layers[0], fallbacks_of(node), *layers[1:]])


def layers_of(node: Node) -> list[str]:
    """What the calls of a branch pass through, outermost first: stack.py in words, without what is off."""
    worker = node.worker
    policy, limit = worker.policy, worker.limit
    layers = ["observe"]
    if node.cache is not None:
        layers.append(f"cache ({_cache(node.cache)})")
    if limit.in_flight is not None:
        layers.append(f"queue (in_flight {limit.in_flight}, waiting {limit.queue})")
    layers.append(f"attempts ({_attempts(worker)})")
    permits = [policy.balance.value]
    if (rule := policy.breaker) is not None:
        rate = "" if rule.rate_over is None else f"over {rule.rate_over:g} of ≥ {rule.min_requests} in {shown(rule.window)}"
        permits.append(
            "breaker " + " or ".join(filter(None, (f"{rule.consecutive} in a row" if rule.consecutive else "", rate)))
        )
    if limit.endpoint_in_flight is not None:
        permits.append(f"endpoint_in_flight {limit.endpoint_in_flight}")
    if limit.rate is not None:
        permits.append(f"rate {limit.rate.per_second:g}/s, burst {limit.rate.burst}")
    layers.append(f"pick ({', '.join(permits)})")
    if (faults := worker.faults) is not None:
        layers.append(f"faults (delay {faults.delay_share:.0%}, abort {faults.abort_share:.0%}, seed {faults.seed})")
    return [*layers, "shape", "leaf" if worker.method is None else f"leaf ({worker.method.name})"]


def _each(each: Each, run: BranchRun) -> str:
    """The list, its items where they are known already, and how they are called."""
    told = [] if run.items is None else [f"{len(run.items)} item{'' if len(run.items) == 1 else 's'}"]
    told += [] if each.concurrency is None else [f"{each.concurrency} at once"]
    told += [f"canary {each.canary}"] if each.canary else []
    match each.tolerated:
        case float() as share:
            told.append(f"{share:.0%} may fail")
        case int() as count:
            told.append(f"{count} may fail" if count else "none may fail")
        case _:
            pass
    how = ", ".join(told)
    if run.items is not None:
        return f"{each.source}: {how}"
    return f"{each.source}, {how}" if how else each.source


def _cache(rule: CacheRule) -> str:
    """What is given again, and what is joined."""
    told = [f"ttl {shown(rule.ttl)}" if rule.ttl else "keeps nothing" if not rule.stale else "ttl 0"]
    if rule.stale:
        told.append(f"stale_on_error {shown(rule.stale)}")
    if rule.ttl or rule.stale:
        told.append(f"at most {rule.entries} answers, {rule.size} bytes")
    if rule.key is not None:
        told.append("a key of its own")
    return ", ".join([*told, "joins equal calls" if rule.coalesce else "joins nothing"])


def fallbacks_of(node: Node) -> str:
    """Who is asked when the node's worker has failed, and when that is."""
    after = "a fault" if node.patience is None else f"{shown(node.patience)} or a fault"
    return f"fallback (after {after}: {', then '.join(_asked(one) for one in node.fallbacks)})"


def _asked(fallback: Fallback) -> str:
    """One of them, and what it is given."""
    told = [fallback.whom]
    if fallback.timeout is not None:
        told.append(f"at most {shown(fallback.timeout)}")
    if fallback.min_time:
        told.append(f"if {shown(fallback.min_time)} are left")
    return " ".join(told)


def _attempts(worker: Worker) -> str:
    """How many attempts there may be, and why more than one."""
    policy = worker.policy
    told = [f"at most {policy.max_attempts}"]
    if (retry := policy.retry) is not None:
        codes = ", ".join(sorted(code.name for code in retry.codes))
        told.append(f"retry {codes}" if worker.repeatable else "retry if never sent")
        if retry.per_try_timeout is not None:
            told.append(f"each at most {shown(retry.per_try_timeout)}")
    if (hedge := policy.hedge) is not None and worker.repeatable:
        after = f"p{100 * hedge.quantile:g}" if hedge.delay is None else shown(hedge.delay)
        told.append(f"hedge after {after}, at most {hedge.max_extra_load:.0%} more")
    return ", ".join(told) if policy.max_attempts > 1 else "1"


def shown(ns: int) -> str:
    """`1500ms` for people."""
    return f"{ns / MS:g}ms" if ns < SECOND else f"{ns / SECOND:g}s"


def _never(_run: BranchRun, _now: int) -> None:
    raise AssertionError("Explain sends nothing")
