"""A world made from a seed: plans, workers, callers, and what each worker is going to do. Everything is decided beforehand."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from aggregator.engine.merges import compile_merge
from dispatcher.config.settings import Config, ServerConfig
from dispatcher.layers.types import Attempt, Sink
from dispatcher.model.graph import Edges
from dispatcher.model.limits import Limits
from dispatcher.model.plan import Catalogue, Node, Plan, Worker
from dispatcher.model.reading import Reading, Unreadable
from dispatcher.model.request import Tightening
from fanmesh.model.completion import CompletionRule, Grace, Predicate, Until, UntilKind
from fanmesh.model.fault import Code
from fanmesh.model.merge import MergeSpec
from fanmesh.model.outcome import Outcome, Success
from fanmesh.model.states import BranchReason, BranchState, EmitMode, IfMissing
from fanmesh.testing import FakeWorker, Script, ends, fails, hangs, ms, rubbish, streams
from tests.kit.plans import oversize, raises, stubborn

R, S, K = BranchReason, BranchState, UntilKind

UNARY, STREAMING = "once", "parts"
MERGES = ("collect", "deep_merge", "overlay", "union", "concat", "first", "priority", "namespace")
STAGED = 0.4
"""How many of the plans have nodes that read each other."""

MAPS, LISTS = ("deep_merge", "overlay"), ("union", "concat")


@dataclass(frozen=True)
class Act:
    """What a worker does in one call: its script, and how and when (ns after the send) that ends if nobody interferes."""

    script: Script
    end: int | None
    state: BranchState = S.SUCCEEDED
    reason: BranchReason = R.NONE


@dataclass
class Call:
    """One caller. Times are ns; `hangs_up` counts from `at`. `acts` by branch."""

    number: int
    plan: str
    at: int
    timeout: int | None
    hangs_up: int | None
    tightening: Tightening
    emit: EmitMode
    acts: dict[str, Act] = field(default_factory=dict)


@dataclass
class World:
    """Everything there is."""

    seed: int
    config: Config
    calls: list[Call]


class Actor(FakeWorker):
    """A worker that does what the world says for this request and branch."""

    def __init__(self, name: str, calls: dict[int, Call]) -> None:
        super().__init__(name)
        self._calls = calls

    async def call(self, attempt: Attempt, sink: Sink) -> Outcome:
        """Play that."""
        given: Any = attempt.run.request.input.value
        self.scripts = (self._calls[given["n"]].acts[attempt.run.node.id].script,)
        return await super().call(attempt, sink)  # takes its script before anything else can run


def make(seed: int) -> World:
    """The world of a seed."""
    dice = random.Random(seed)  # noqa: S311  (a simulation)
    workers = {UNARY: Worker(UNARY), STREAMING: Worker(STREAMING, streams=True)}
    plans = {f"p{i}": _plan(dice, f"p{i}", workers) for i in range(dice.randint(1, 3))}
    others = random.Random(-1 - seed)  # noqa: S311  (whoever waits for whom, plans and calls are the same)
    plans = {name: staged(others, plan) if others.random() < STAGED else plan for name, plan in plans.items()}
    server = ServerConfig("127.0.0.1:0", None, "embedded", 0, Limits())
    config = Config(Catalogue(plans, workers), server, {})
    calls = [_call(dice, number, plans) for number in range(dice.randint(5, 20))]
    return World(seed, config, calls)


def _time(dice: random.Random, least: int, most: int) -> int:
    """A time in ns; half of them on a coarse grid, so that things happen at one instant."""
    if dice.random() < 0.5:
        return ms(dice.randrange(least, most + 1, 50))
    return ms(dice.randint(least, most)) + dice.randint(0, 999_999)


def _plan(dice: random.Random, name: str, workers: dict[str, Worker]) -> Plan:
    kind = dice.choice(MERGES)
    weights = dice.choice([[1.0], [1.0], [0.1, 0.2, 0.3], [1.0, 2.5, 7.0], [0.0, 1.0]])
    nodes = tuple(_node(dice, f"b{i}", workers, kind, weights) for i in range(dice.randint(1, 12)))
    spec = MergeSpec(kind)
    until = tuple(_until(dice, len(nodes)) for _ in range(dice.choice([1, 1, 1, 2])))
    asked = Predicate(f"coverage > {dice.choice([0.1, 0.457, 0.613])}", (), dice.choice([0, 0, _time(dice, 50, 800)]))
    rule = CompletionRule(
        until=until,
        soft=_time(dice, 50, 1500) if dice.random() < 0.3 else None,
        grace=dice.choice([Grace(), Grace(0.1, 0.4), Grace(0.2, 0.2), Grace(0.0, 1.0)]),
        min_success=dice.choice([0, 1, 1, 1, 2]) if len(nodes) > 1 else 1,
        min_coverage=dice.choice([0.0, 0.0, 0.0, 0.3, 0.5, 0.9]),
        predicate=asked if any(one.kind is K.PREDICATE for one in until) else None,
    )
    latency = dice.choice([None, ms(1000), ms(1500), ms(400), ms(30_000), _time(dice, 100, 3000)])
    reserve = dice.choice([0, ms(25), ms(500)])
    return Plan(name, nodes, latency, reserve, rule, spec, compile_merge(spec, [node.id for node in nodes]).accepts)


def _node(dice: random.Random, name: str, workers: dict[str, Worker], merge: str, weights: list[float]) -> Node:
    soft = _time(dice, 50, 1200) if dice.random() < 0.4 else None
    timeout = _time(dice, 50, 2000) if dice.random() < 0.4 else None
    if_missing = dice.choice([*[IfMissing.SKIP] * 8, IfMissing.USE, IfMissing.USE, IfMissing.FAIL])
    said = dice.choice([None] * 12 + [False, Unreadable("no such key")])
    return Node(
        name,
        workers[dice.choice([UNARY, UNARY, STREAMING])],
        required=dice.random() < 0.05,
        weight=dice.choice(weights),
        soft=soft,
        timeout=timeout,
        sla=dice.choice([None, ms(200)]),
        if_missing=if_missing,
        default=_value(dice, merge) if if_missing is IfMissing.USE else None,
        condition=None if said is None else (lambda _: said),
        discard_broken=dice.random() < 0.3,
    )


def staged(dice: random.Random, plan: Plan) -> Plan:
    """The same plan with nodes that wait for some of the others, in an order that is not the plan's."""
    order = dice.sample(plan.nodes, len(plan.nodes))
    found = {}
    for position, node in enumerate(order):
        before = [other.id for other in order[:position]]
        asks, feeds, after = (dice.sample(before, min(dice.choice([0, 0, 1, 2]), position)) for _ in range(3))
        held = dice.choice(["", "", "", "ok", "ok", "failed"]) if asks else ""
        found[node.id] = replace(
            node,
            edges=Edges(frozenset(asks), frozenset(feeds), frozenset(after[: dice.choice([0, 0, 2])])),
            condition=_asking(asks, held) if held else node.condition,
            input=_fed(feeds, readable=dice.random() < 0.95) if feeds else None,
            min_time=dice.choice([0, 0, 0, ms(20), ms(100), ms(300)]),
        )
    return replace(plan, nodes=tuple(found[node.id] for node in plan.nodes))


def _asking(asks: list[str], held: str) -> Any:
    return lambda reading: all(reading.branches[name]["ok"] is (held == "ok") for name in asks)


def _fed(feeds: list[str], *, readable: bool) -> Any:
    def given(reading: Reading) -> Any:
        return {name: reading.branches[name]["output"] for name in feeds} if readable else Unreadable("no such key: x")

    return given


def _until(dice: random.Random, nodes: int) -> Until:
    kind = dice.choice([K.ALL, K.ALL, *K])
    value = {
        K.COUNT: float(dice.randint(1, nodes)),
        K.COVERAGE: dice.choice([0.3, 0.5, 0.6, 0.9, 1.0]),
        K.CONFIDENCE: dice.choice([0.4, 0.5, 0.9]),
        K.QUIET: _time(dice, 50, 700),
    }
    return Until(kind, value.get(kind, 0.0))


def _value(dice: random.Random, merge: str) -> Any:
    """An answer that the merge takes."""
    if merge in MAPS:
        return {key: dice.choice([1, "x", None, ["y", 2], {"k": 0.5}]) for key in dice.sample("abcd", dice.randint(0, 3))}
    if merge in LISTS:
        return [dice.choice([1, "x", {"k": 2}]) for _ in range(dice.randint(0, 4))]
    return dice.choice([1, 0.1, "text", None, True, [1, 2], {"a": {"b": [None]}}])


def _call(dice: random.Random, number: int, plans: dict[str, Plan]) -> Call:
    name = dice.choice(list(plans))
    plan = plans[name]
    tightening = Tightening(
        latency=dice.choice([None, None, None, _time(dice, 100, 2000)]),
        min_success=dice.choice([0, 0, 0, 2]) if len(plan.nodes) > 1 else 0,
        min_coverage=dice.choice([0.0, 0.0, 0.0, 0.0, 0.6]),
        required=frozenset({dice.choice(plan.nodes).id}) if dice.random() < 0.1 else frozenset(),
    )
    timeout = dice.choice([*[None] * 18, *[_time(dice, 50, 3000)] * 5, ms(6), ms(20), 0])
    hangs_up = _time(dice, 50, 1500) if dice.random() < 0.15 else None
    emit = dice.choice([EmitMode.FINAL, EmitMode.SNAPSHOT, EmitMode.BRANCH_EVENTS])
    call = Call(number, name, _time(dice, 50, 3000), timeout, hangs_up, tightening, emit)
    for node in plan.nodes:
        act = _streaming(dice, plan, node) if node.worker.streams else _once(dice, plan, node)
        if dice.random() < 0.1:
            then = dice.choice([None, Success(_value(dice, plan.merge.kind))])
            act = Act(stubborn(act.script, lingers=_time(dice, 50, 4000), then=then), act.end, act.state, act.reason)
        call.acts[node.id] = act
    return call


def _once(dice: random.Random, plan: Plan, node: Node) -> Act:
    after = _time(dice, 0, dice.choice([100, 100, 300, 300, 600, 1500, 4000]))
    value = _value(dice, plan.merge.kind)
    match dice.choice(["answers"] * 20 + ["hangs", "fails", "dies", "rubbish", "lies", "bug", "oversize", "cancels itself"]):
        case "hangs":
            return Act(hangs(), None)
        case "fails":
            return Act(fails(dice.choice(list(Code)[1:]), "said so", after=after), after, S.FAILED, R.WORKER_ERROR)
        case "dies":
            return Act(fails(Code.UNAVAILABLE, "connection reset"), 0, S.FAILED, R.WORKER_ERROR)
        case "rubbish":
            return Act(rubbish(after=after), after, S.FAILED, R.INVALID_RESPONSE)
        case "lies" if plan.accepts(node.id, 7) is not None:
            return Act(ends(7, after=after), after, S.FAILED, R.INVALID_RESPONSE)
        case "bug":
            return Act(raises(RuntimeError("a bug"), after=after), after, S.FAILED, R.WORKER_ERROR)
        case "oversize":
            return Act(oversize(after=after), after, S.FAILED, R.TOO_LARGE)
        case _:
            return Act(ends(value, after=after, confidence=dice.choice([None, 0.5, 0.9])), after)


def _streaming(dice: random.Random, plan: Plan, node: Node) -> Act:
    every = _time(dice, 0, dice.choice([50, 100, 400]))
    count = dice.randint(0, 5)
    replace = dice.random() < 0.4
    values = [_value(dice, plan.merge.kind) for _ in range(count)]
    if not replace:  # parts of one type, without the scalars that cannot be appended to
        values = [{f"k{i}": value} for i, value in enumerate(values)] if plan.merge.kind not in LISTS else values
    end = every * count
    whole = values[-1] if replace and values else None
    usable = plan.accepts(node.id, whole) is None
    match dice.choice(["ends"] * 9 + ["breaks", "breaks", "hangs", "misfit"]):
        case "hangs":
            return Act(streams(values, every=every, replace=replace, then=hangs()), None)
        case "breaks":
            kept = usable or node.whole_only
            reason = R.WORKER_ERROR if not values else R.STREAM_BROKEN if kept else R.INVALID_RESPONSE
            return Act(streams(values, every=every, replace=replace, then=fails()), end, S.FAILED, reason)
        case "misfit":
            parts = [[1], 2] if plan.merge.kind in LISTS else [{"a": 1}, {"a": 2}]
            return Act(streams(parts, every=every, then=hangs()), 2 * every, S.FAILED, R.INVALID_RESPONSE)
        case _:
            return Act(streams(values, every=every, replace=replace, confidence=dice.choice([None, 0.45, 0.95])), end)
