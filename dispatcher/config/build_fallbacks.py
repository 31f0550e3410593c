"""The fallbacks of a branch → those of its Node: each is the branch once more, with another worker and that one's mappings.

They start with what the branch has. A fallback that read another branch would have to wait for it when there is least time, or
make the branch wait for what it mostly does not need.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from dispatcher.config.expressions import AFTER, BEFORE, Mapped, mapping
from dispatcher.config.parse import Parsed
from dispatcher.config.placing import Instead, Placed, instead
from dispatcher.config.problems import Path, listed
from dispatcher.model.plan import Accepts, Fallback, Node, Worker, unfit


def with_fallbacks(
    node: Node, branch: Placed, workers: Mapping[str, Worker], known: Collection[str], more: frozenset[str], parsed: Parsed
) -> Node:
    """The node with its fallbacks. Its `timeout` is then how long its own worker may take: they are asked after it."""
    found = tuple(_fallback(node, one, workers, known, more, parsed) for one in instead(branch))
    return replace(node, fallbacks=found, patience=node.timeout, timeout=None)


def _fallback(
    node: Node, other: Instead, workers: Mapping[str, Worker], known: Collection[str], more: frozenset[str], parsed: Parsed
) -> Fallback:
    shape, path = other.shape, other.path
    output = mapping(shape.output, (*path, "output"), known, AFTER | more, parsed)
    _reads(node, output, (*path, "output"), parsed)
    if shape.worker is None:
        return Fallback(None, shape.branch or "", output.mapping, shape.use)
    worker = workers.get(shape.worker, Worker(shape.worker, effect=node.worker.effect))
    if worker.effect is not node.worker.effect:
        message = f"worker {worker.name} has effect {worker.effect.value}, and the branch's own has {node.worker.effect.value}"
        parsed.complain((*path, "worker"), message, "one with the same effect")
    sent = mapping(shape.input, (*path, "input"), known, BEFORE | more, parsed)
    _reads(node, sent, (*path, "input"), parsed)
    least = shape.min_time or 0
    inner = replace(node, worker=worker, input=sent.mapping, output=output.mapping or node.output, timeout=None, min_time=least)
    return Fallback(inner, timeout=shape.timeout, min_time=least)


def _reads(node: Node, mapped: Mapped, path: Path, parsed: Parsed) -> None:
    """It may read what its branch has read: that is there when it is asked."""
    there = node.edges.asks | node.edges.feeds
    if more := sorted(mapped.branches - there):
        message = f"reads {', '.join(more)}, which the branch itself does not: a fallback starts with what its branch has"
        parsed.complain(path, message, listed(sorted(there)) if there else "input and attributes")


def asked(node: Node) -> list[Worker]:
    """The workers that may be called for a node."""
    return [node.worker, *(one.node.worker for one in node.fallbacks if one.node is not None)]


def stood_in_by(node: Node) -> frozenset[str]:
    """The other branches whose answers may stand in for the node's."""
    return frozenset(one.branch for one in node.fallbacks if one.branch) - {node.id}


def whole(node: Node) -> Node:
    """The node where the parts of a stream count only as a whole, whoever is asked."""
    fallbacks = tuple(
        one if one.node is None else replace(one, node=replace(one.node, discard_broken=True)) for one in node.fallbacks
    )
    return replace(node, discard_broken=True, fallbacks=fallbacks)


def check_values(node: Node, branch: Placed, merge: str, accepts: Accepts, parsed: Parsed) -> None:
    """Complain about a value that the plan's merge cannot take."""
    for fallback, one in zip(node.fallbacks, instead(branch), strict=True):
        fixed = fallback.node is None and not fallback.branch
        if fixed and (why := unfit(node, fallback.value, accepts)) is not None:
            parsed.complain((*one.path, "use"), f"merge {merge} cannot take it: {why}")
