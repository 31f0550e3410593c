"""The branches of a plan → Nodes: what each reads of the others is found here, and so is what can never work between them.

Whom a node waits for is never written, but for stages: it is what its expressions read. So a plan cannot say one thing and do
another, and a node never waits for something that it does not need.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from json import dumps

from dispatcher.config.build_fallbacks import asked, stood_in_by, whole, with_fallbacks
from dispatcher.config.caches import cache_of
from dispatcher.config.expressions import AFTER, BEFORE, JUDGING, LISTED, Asked, Mapped, condition, listing, mapping
from dispatcher.config.gathering import ANY_ANSWER, all_there, anything_there
from dispatcher.config.parse import Parsed
from dispatcher.config.placing import Placed, Stop, named, placed
from dispatcher.config.problems import Path
from dispatcher.config.quantities import show_duration
from dispatcher.config.shape import PlanShape
from dispatcher.config.shape_branches import EachShape, UseShape
from dispatcher.model.deadlines import divide
from dispatcher.model.each import Each
from dispatcher.model.graph import NO_EDGES, Edges, cycle
from dispatcher.model.plan import Node, Plan, Worker
from dispatcher.model.reading import Condition, Reading, Unreadable
from fanmesh.model.states import Gather, IfMissing


def build_nodes(plan: PlanShape, path: Path, workers: Mapping[str, Worker], parsed: Parsed) -> tuple[Node, ...]:
    """The nodes, in plan order. What is wrong is added to `parsed.problems`."""
    branches = placed(plan, path)
    known = named(path, parsed)
    nodes = [_node(name, branch, workers, known, branches, parsed) for name, branch in branches.items()]
    if ring := cycle({node.id: node.edges.all() | stood_in_by(node) & branches.keys() for node in nodes}):
        told = "a branch cannot read itself" if len(ring) == 2 else f"branches wait for each other: {' → '.join(ring)}"
        parsed.complain(branches[ring[0]].path, told, "that one of them reads less", at_key=True)
        nodes = [replace(node, edges=NO_EDGES) for node in nodes]
    return _guarded(nodes, branches, parsed)


def _node(
    name: str,
    branch: Placed,
    workers: Mapping[str, Worker],
    known: Collection[str],
    branches: Mapping[str, Placed],
    parsed: Parsed,
) -> Node:
    shape, path = branch.shape, branch.path
    worker = workers.get(shape.worker or name, Worker(name))
    match shape.if_missing:
        case UseShape(use=default):
            if_missing = IfMissing.USE
        case word:
            if_missing, default = IfMissing[word.upper()], None
    there = frozenset(branches)  # a name that is known, and not there, has been complained about
    own = condition(shape.condition, (*path, "if"), known, parsed)
    each, listed = _each(shape.for_each, (*path, "for_each"), known, parsed)
    more: frozenset[str] = frozenset() if each is None else LISTED
    sent = mapping(shape.input, (*path, "input"), known, BEFORE | more, parsed)
    given = mapping(shape.output, (*path, "output"), known, AFTER | more, parsed)
    cache, keyed = cache_of(shape, worker, path, known, BEFORE | more, parsed)
    ruled = _escalating(own, branch.stops, parsed) if branch.stops else own
    fed = sent.branches | given.branches | listed | keyed
    edges = Edges(ruled.branches & there, fed & there, branch.after & there)
    if branch.gathers:
        ruled, edges = Asked(anything_there), Edges(asks=there - {name})
        sent = sent if shape.input is not None else Mapped(all_there)
    node = Node(
        id=name,
        worker=worker,
        required=shape.required,
        weight=shape.weight,
        soft=shape.soft_timeout,
        timeout=shape.timeout,
        sla=shape.sla,
        if_missing=if_missing,
        default=default,
        condition=ruled.condition,
        condition_source=ANY_ANSWER if branch.gathers else _told(shape.condition, branch.stops),
        input=sent.mapping,
        output=given.mapping,
        discard_broken=shape.on_stream_failure == "discard",
        edges=edges,
        min_time=shape.min_time or 0,
        allow_partial_input=shape.allow_partial_input,
        each=each,
        cache=cache,
    )
    return node if shape.fallback is None else with_fallbacks(node, branch, workers, known, more, parsed)


def _each(
    shape: EachShape | str | None, path: Path, known: Collection[str], parsed: Parsed
) -> tuple[Each | None, frozenset[str]]:
    """What it says about its list, and the branches that the list is made from."""
    if shape is None:
        return None, frozenset()
    said = EachShape(items=shape) if isinstance(shape, str) else shape
    where = path if isinstance(shape, str) else (*path, "items")
    items = listing(said.items, where, known, parsed)
    key = mapping(said.key, (*path, "key"), (), BEFORE | LISTED, parsed)
    if items.mapping is None:
        return None, frozenset()
    gather, most = Gather[said.gather.upper()], said.max_items
    source = said.items if isinstance(said.items, str) else dumps(said.items, ensure_ascii=False)
    each = Each(items.mapping, key.mapping, gather, said.max_concurrency, most, said.tolerate, said.canary, source)
    return each, items.branches


def _escalating(own: Asked, stops: Sequence[Stop], parsed: Parsed) -> Asked:
    """A step of a cascade: it runs unless one before it was good enough, and if its own `if` holds."""
    judged = [(stop.branch, condition(stop.source, stop.path, (), parsed, JUDGING).condition) for stop in stops]

    def needed(reading: Reading) -> bool | Unreadable:
        if any(_enough(reading, branch, judge) for branch, judge in judged):
            return False
        return True if own.condition is None else own.condition(reading)

    return Asked(needed, own.branches.union(branch for branch, _ in judged))


def _enough(reading: Reading, branch: str, judge: Condition | None) -> bool:
    """Whether a step has ended the cascade. One that cannot be judged has not: a failed cheap model escalates."""
    view = reading.branches[branch]
    return view["ok"] and (judge is None or judge(reading.judging(view)) is True)


def _told(source: str | None, stops: Sequence[Stop]) -> str:
    """A node's condition in words."""
    parts = [f"!(branches.{stop.branch}.ok{f' && ({stop.source})' if stop.source else ''})" for stop in stops]
    if source:
        parts.append(f"({source})" if parts else source)
    return " && ".join(parts)


def _guarded(nodes: Sequence[Node], branches: Mapping[str, Placed], parsed: Parsed) -> tuple[Node, ...]:
    """The parts of a stream that may break are held back where they would feed a write."""
    fed = {name: node for node in nodes if node.writes and not node.allow_partial_input for name in node.edges.feeds}
    guarded = []
    for node in nodes:
        write, shape = fed.get(node.id), branches[node.id].shape
        if write is None or not any(one.streams for one in asked(node)):
            guarded.append(node)
            continue
        if shape.on_stream_failure == "keep" and "on_stream_failure" in shape.model_fields_set:
            message = f"what is kept of a broken stream would feed the write {write.id}"
            where = (*branches[node.id].path, "on_stream_failure")
            parsed.complain(where, message, f"discard, or allow_partial_input: true at {write.id}")
        guarded.append(whole(node))
    return tuple(guarded)


def check_paths(plan: Plan, path: Path, parsed: Parsed) -> None:
    """Complain about nodes that there can never be time for: the `min_time`s along a path are longer than the plan."""
    if plan.latency is None:
        return
    stop = divide(None, plan.latency, plan.merge_reserve).stop
    tails = plan.graph.tails if plan.graph is not None else (0,) * len(plan.nodes)
    after = plan.graph.after if plan.graph is not None else ((),) * len(plan.nodes)
    totals = [node.min_time + tail for node, tail in zip(plan.nodes, tails, strict=True)]
    if max(totals, default=0) <= stop:
        return
    at: int | None = max(range(len(totals)), key=totals.__getitem__)
    names, total = [], max(totals)
    while at is not None:
        names.append(plan.nodes[at].id)
        at = max((node for node in after[at] if totals[node]), key=totals.__getitem__, default=None)
    message = f"the min_time of {' → '.join(names)} adds up to {show_duration(total)}; branches have {show_duration(stop)}"
    parsed.complain((*path, "budget", "latency"), message, "more latency, or less min_time")
