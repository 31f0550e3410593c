"""Before anything is sent: which nodes run, on what input, and what the fold must know of them."""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.flow.ports import Engine
from dispatcher.layers.types import BranchRun
from dispatcher.model.deadlines import Deadlines, soft_within
from dispatcher.model.each import Each, key_text
from dispatcher.model.plan import Node, Plan, fold_node
from dispatcher.model.reading import Reading, Unreadable
from dispatcher.model.request import Request
from dispatcher.policies.overload import Stage
from fanmesh.model.completion import CompletionRule, Predicate
from fanmesh.model.events import Start
from fanmesh.model.states import BranchReason, IfMissing
from fanmesh.model.values import JsonValue

R = BranchReason


def is_required(node: Node, request: Request) -> bool:
    """Whether the plan or this caller cannot do without the node."""
    return node.required or node.id in request.tightening.required


def must_answer(node: Node, request: Request) -> bool:
    """Whether its failure fails the request: it is required, or the plan says `if_missing: fail`."""
    return node.if_missing is IfMissing.FAIL or is_required(node, request)


def soft_of(node: Node, request: Request, deadlines: Deadlines) -> int | None:
    """How long the node is waited for after its first send, in ns; None = until it ends. One that must answer always is."""
    return None if node.soft is None or must_answer(node, request) else soft_within(node.soft, deadlines)


def wanted(run: BranchRun, engine: Engine) -> BranchReason:
    """NONE if the node's `if` holds, else why it does not run. Raises Malformed if that reads an input that is malformed."""
    if run.node.condition is None:
        return R.NONE
    holds = run.node.condition(run.reading())
    if isinstance(holds, Unreadable):
        return _unreadable(run, "if", holds.message, engine)
    return R.NONE if holds else R.CONDITION


def mapped(run: BranchRun, engine: Engine) -> BranchReason:
    """NONE if the node's input could be mapped: it is the run's now. Raises Malformed like `wanted`.

    A node that is called for each item of a list is given its items instead; their leaves are mapped one by one.
    """
    if run.node.each is not None and run.item is None:
        return listed(run, run.node.each, engine)
    if run.node.input is None:
        if run.item is not None:
            run.input = engine.box(run.item_value)
        return R.NONE
    value = run.node.input(run.reading())
    if isinstance(value, Unreadable):
        return _unreadable(run, "input", value.message, engine)
    run.input = engine.box(value)
    return R.NONE


def listed(run: BranchRun, each: Each, engine: Engine) -> BranchReason:
    """NONE if there is a list to call the node for: its items are the run's now, each of them once."""
    items = each.items(run.reading())
    if not isinstance(items, list):
        why = items.message if isinstance(items, Unreadable) else "not a list"
        return _unreadable(run, "for_each", why, engine)
    if len(items) > each.most:
        run.why = f"for_each: {len(items)} items are more than max_items {each.most}"
        return R.TOO_LARGE
    found: dict[str, JsonValue] = {}
    for index, item in enumerate(items):
        key: JsonValue | Unreadable = item
        if each.key is not None:
            key = each.key(Reading(run.request.input, run.request.attributes, None, run.branches, item=item, index=index))
        if isinstance(key, Unreadable):
            return _unreadable(run, "for_each.key", f"item {index}: {key.message}", engine)
        found.setdefault(key_text(key), item)
    run.items = tuple(found.items())
    return R.NONE


def _unreadable(run: BranchRun, where: str, why: str, engine: Engine) -> BranchReason:
    """An expression of the node has met data that it was not written for."""
    engine.observer.expression_error(where)
    run.why = f"{where}: {why}"
    return R.CONDITION_ERROR


def sheds(runs: Sequence[BranchRun], engine: Engine) -> bool:
    """Whether an overloaded process drops what the plan can do without: if there is something it cannot."""
    return engine.stage() >= Stage.NO_OPTIONAL and any(must_answer(run.node, run.request) for run in runs)


def fate_of(run: BranchRun, engine: Engine, *, shed: bool = False) -> BranchReason:
    """NONE if a node runs that waits for no other, else why not. `shed`: it does not, unless it must answer."""
    node = run.node
    plain = node.condition is None and node.input is None and node.each is None
    fate = R.NONE if plain else wanted(run, engine) or mapped(run, engine)
    return R.OVERLOAD if shed and fate is R.NONE and not must_answer(run.node, run.request) else fate


def start_event(plan: Plan, request: Request, deadlines: Deadlines) -> Start:
    """The head of the event log. What the plan has worked out already is used as it is unless this request changes it."""
    rule, tight, nodes = plan.completion, request.tightening, plan.fold_nodes
    if plan.longest_soft > deadlines.longest_soft or tight.required:
        nodes = tuple(fold_node(n, required=is_required(n, request), soft=soft_of(n, request, deadlines)) for n in plan.nodes)
    soft = soft_within(rule.soft, deadlines)
    if soft != rule.soft or tight.min_success > rule.min_success or tight.min_coverage > rule.min_coverage:
        rule = CompletionRule(
            until=rule.until,
            soft=soft,
            grace=rule.grace,
            min_success=max(rule.min_success, tight.min_success),
            min_coverage=max(rule.min_coverage, tight.min_coverage),
            on_failure=rule.on_failure,
            predicate=rule.predicate,
        )
    return Start(
        request_id=request.id,
        plan=plan.name,
        nodes=nodes,
        stop=deadlines.stop,
        total=deadlines.total,
        completion=rule,
        merge=plan.merge,
        emit=request.emit,
        min_interval=request.min_interval,
        traceparent=request.trace.traceparent,
        attributes=() if rule.predicate is None else _read_by(rule.predicate, request),
    )


def _read_by(predicate: Predicate, request: Request) -> tuple[tuple[str, str], ...]:
    """Those attributes that the predicate reads: no others leave this process."""
    return tuple((name, request.attributes.get(name, "")) for name in predicate.reads)
