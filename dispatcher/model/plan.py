"""What is to be run: workers, nodes and plans, frozen and valid by construction.

Configuration makes these (dispatcher/config), and so does `fanout()`; nothing below knows which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import NamedTuple, TypeAlias

from dispatcher.model.caching import CacheRule
from dispatcher.model.deadlines import MIN_ATTEMPT
from dispatcher.model.each import Each
from dispatcher.model.graph import NO_EDGES, Edges, Graph, graph_of
from dispatcher.model.method import Method
from dispatcher.model.policy import NO_LIMIT, NONE, FaultRule, LimitRule, Policy
from dispatcher.model.reading import Condition, Mapping
from fanmesh.model.completion import CompletionRule, Until
from fanmesh.model.events import FoldNode
from fanmesh.model.gather import gather, misfit
from fanmesh.model.merge import MergeSpec
from fanmesh.model.states import IfMissing
from fanmesh.model.times import MS
from fanmesh.model.values import JsonValue, Value

Accepts: TypeAlias = Callable[[str, Value], str | None]
"""(branch, value) → why the plan's merge cannot take that value; None = it can."""


@unique
class Effect(Enum):
    """What calling a worker does to the world. A write is retried only if it was never sent, and never hedged."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Worker:
    """Who answers. `target` is empty for a local coroutine.

    `endpoints`: fixed addresses; empty = resolve the target. `opaque`: the target is one endpoint, whatever stands behind it.
    `attributes`: names of those the worker may see. `streams`: it is called by ProcessStream and answers in parts.
    `idempotent`: calling a write twice is as good as calling it once. `method`: what is called instead of WorkerService.
    `metadata`: keys of the caller's metadata that it is told. `transport`: what carries its calls; empty = the server's.
    `compression` of what it is sent: none or gzip.
    """

    name: str
    target: str = ""
    effect: Effect = Effect.READ
    endpoints: tuple[str, ...] = ()
    streams: bool = False
    attributes: tuple[str, ...] = ()
    opaque: bool = False
    idempotent: bool = False
    policy: Policy = NONE
    limit: LimitRule = NO_LIMIT
    faults: FaultRule | None = None
    method: Method | None = None
    metadata: tuple[str, ...] = ()
    transport: str = ""
    compression: str = "none"

    @property
    def repeatable(self) -> bool:
        """Whether a call that was sent may be made again."""
        return self.idempotent or self.effect is Effect.READ


@dataclass(frozen=True, slots=True)
class Fallback:
    """Who is asked when a branch's worker, and the fallbacks before this one, have failed.

    One of three: `node`, the branch with another worker and that one's mappings (its `input` None: what the branch was sent);
    `branch`, another branch whose answer stands in, seen through `output`; else `value`. `timeout`: ns from its first send that
    it may take, None = as long as the branch. `min_time`: with less time left it is not asked.
    """

    node: Node | None = None
    branch: str = ""
    output: Mapping | None = None
    value: JsonValue = None
    timeout: int | None = None
    min_time: int = 0

    @property
    def least(self) -> int:
        """The time that must be left to ask it, in ns."""
        return max(self.min_time, MIN_ATTEMPT)

    @property
    def whom(self) -> str:
        """Who it is, for people."""
        if self.branch:
            return f"branch {self.branch}"
        return "value" if self.node is None else f"worker {self.node.worker.name}"


@dataclass(frozen=True, slots=True)
class Node:
    """One branch of a plan. Times are ns; None = none.

    `soft` and `sla` count from the first send, `timeout` too. `if_missing` USE puts `default` in the place of a missing answer.
    `discard_broken`: a stream counts only as a whole; otherwise the parts of a broken one are kept and merged.
    `edges`: the nodes it waits for. `min_time`: an attempt with less time left is not worth starting, and nodes before this one
    leave it that much. `allow_partial_input`: what a broken stream left behind is good enough for this write. `each`: it is
    called once for each item of a list; `default` then stands in for a missing item, `soft` counts from the first call.
    `cache`: what is done for equal calls; None = each is made. `fallbacks` are asked one after the other when its worker has
    failed. With one, `patience`, in the place of `timeout`, is how long the worker may take; the branch has until the request's
    stop.
    """

    id: str
    worker: Worker
    required: bool = False
    weight: float = 1.0
    soft: int | None = None
    timeout: int | None = None
    sla: int | None = None
    if_missing: IfMissing = IfMissing.SKIP
    default: JsonValue = None
    condition: Condition | None = None
    condition_source: str = ""
    input: Mapping | None = None
    output: Mapping | None = None
    discard_broken: bool = False
    edges: Edges = NO_EDGES
    min_time: int = 0
    allow_partial_input: bool = False
    each: Each | None = None
    cache: CacheRule | None = None
    fallbacks: tuple[Fallback, ...] = ()
    patience: int | None = None
    least: int = field(init=False)
    """The time that must be left for an attempt to be worth it, in ns; `min_time` may be for its fallback, too."""

    def __post_init__(self) -> None:
        """Work out what every branch would otherwise work out again."""
        own = self.min_time if self.patience is None else min(self.min_time, self.patience)
        object.__setattr__(self, "least", max(own, MIN_ATTEMPT))

    @property
    def writes(self) -> bool:
        """Whether calling it changes something."""
        return self.worker.effect is Effect.WRITE

    @property
    def whole_only(self) -> bool:
        """Whether the parts of a stream are held back until it has ended well: to be discarded, or mapped, as a whole."""
        return self.discard_broken or self.output is not None


def fold_node(node: Node, *, required: bool, soft: int | None) -> FoldNode:
    """A node as the fold needs it, for a request that needs it so, and waits for it so long."""
    gather = None if node.each is None else node.each.gather
    return FoldNode(node.id, node.weight, required, soft, node.if_missing, node.default, node.writes, gather)


def unfit(node: Node, value: Value, accepts: Accepts) -> str | None:
    """Why a plan's merge cannot take an answer of the node, or of one of its leaves; None = it can."""
    if node.each is None:
        return accepts(node.id, value)
    how = node.each.gather
    why = misfit(how, value)
    return accepts(node.id, gather(how, [("", value)])) if why is None else why  # type: ignore[list-item]  # it fits: JSON


def accept_any(_branch: str, _value: Value) -> str | None:
    """A merge that takes everything."""
    return None


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs for one request. `latency` None = the caller's deadline, or 10 s, is the only bound.

    `graph` None: no node waits for another, and all start at once. `reads_late`: expressions may be evaluated after the start.
    """

    name: str
    nodes: tuple[Node, ...]
    latency: int | None = None
    merge_reserve: int = 25 * MS
    completion: CompletionRule = CompletionRule()
    merge: MergeSpec = MergeSpec()
    accepts: Accepts = accept_any
    fold_nodes: tuple[FoldNode, ...] = field(init=False)
    longest_soft: int = field(init=False)
    reads_late: bool = field(init=False)
    graph: Graph | None = field(init=False)

    def __post_init__(self) -> None:
        """Work out what every request would otherwise work out again. Raises ValueError if nodes wait for each other."""
        fold = tuple(fold_node(n, required=n.required, soft=None if n.required else n.soft) for n in self.nodes)
        object.__setattr__(self, "fold_nodes", fold)
        object.__setattr__(self, "longest_soft", max((n.soft or 0 for n in self.nodes), default=0))
        graph = graph_of([n.id for n in self.nodes], [n.edges for n in self.nodes], [n.min_time for n in self.nodes])
        object.__setattr__(self, "graph", graph)
        late = graph is not None or any(n.output is not None or n.each is not None or n.fallbacks for n in self.nodes)
        object.__setattr__(self, "reads_late", late)

    @property
    def until(self) -> tuple[Until, ...]:
        """The rules that complete it early."""
        return self.completion.until


class Route(NamedTuple):
    """`plan` runs if `condition` holds; None = always. First match wins. `source` is the expression, or `default`."""

    plan: str
    condition: Condition | None
    source: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything a request may run, pinned when the request arrives: a reload changes nothing for it.

    `attributes`: the names that callers may set.
    """

    plans: dict[str, Plan]
    workers: dict[str, Worker]
    routes: tuple[Route, ...] = ()
    attributes: tuple[str, ...] = ()
    version: str = ""
    metadata: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Which metadata of a caller any worker is told: of everything else nothing is kept."""
        told = frozenset(key for worker in self.workers.values() for key in worker.metadata)
        object.__setattr__(self, "metadata", told)
