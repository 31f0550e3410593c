"""Any staged plan, with what its workers do, as Hypothesis draws it; and a run of it in the Lab that is written down.

Nodes are made here and not configured: compiling thirty nodes' expressions takes longer than running them a hundred times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from dispatcher.config.settings import Config, ServerConfig
from dispatcher.flow.ports import AggregationSession, Deliver
from dispatcher.layers.types import Attempt, BranchRun, Sink
from dispatcher.model.graph import Edges
from dispatcher.model.limits import Limits
from dispatcher.model.plan import Catalogue, Effect, Node, Plan, Worker
from dispatcher.model.reading import Condition, Mapping, Reading, Unreadable
from fanmesh.model.completion import CompletionRule, Until, UntilKind
from fanmesh.model.events import Event
from fanmesh.model.outcome import Outcome
from fanmesh.model.states import BranchReason, BranchState, IfMissing
from fanmesh.testing import FakeWorker, Lab, LabResult, Script, ends, fails, hangs, ms, rubbish, run_virtual, streams
from fanmesh.testing.scripts import virtual_sleep
from tests.kit.naive import Course
from tests.kit.plans import Recorder

R, S, K = BranchReason, BranchState, UntilKind

MOST = 30
WORKERS = {
    (effect, streams): Worker(f"{effect.value}{'s' * streams}", effect=effect, streams=streams)
    for effect in Effect
    for streams in (False, True)
}
LONGEST = ms(11_000)

times = st.one_of(st.sampled_from([0, 0, ms(1), ms(5), ms(10), ms(10), ms(100)]), st.integers(0, ms(120)))
"""How long workers take, in ns: on a coarse grid, so that things happen at one instant, or anything."""

untils = st.sampled_from([*[Until(K.ALL)] * 6, Until(K.FIRST), Until(K.COUNT, 3.0), Until(K.COVERAGE, 0.5), Until(K.REQUIRED)])
rules = st.one_of(
    *[st.just(CompletionRule((Until(K.ALL),), min_success=0))] * 2,
    st.builds(CompletionRule, st.tuples(untils), st.sampled_from([None, None, ms(40)]), min_success=st.sampled_from([0, 1])),
)


@dataclass(frozen=True)
class Staged:
    """A plan, and what the worker of each of its nodes does. `timeout`: the caller's, in ns."""

    plan: Plan
    scripts: dict[str, Script]
    courses: dict[str, Course]
    timeout: int | None

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:  # noqa: FBT001  (Hypothesis' protocol)
        """What is read of a failing example; everything would be pages."""
        printer.text(f"timeout={self.timeout} latency={self.plan.latency} {self.plan.completion}")
        for node in self.plan.nodes:
            printer.break_()
            asks, feeds, after = (sorted(names) for names in node.edges)
            printer.text(f"{node.id} {node.worker.name} {asks=} {feeds=} {after=} {node.min_time=} {self.scripts[node.id]}")


@dataclass
class Ran:
    """How it went; times are ns since the request's arrival.

    `sent`: per call the branch, its input, when it came, and the deadline it had; `entered`: per branch that was to run the
    deadline with which it was.
    """

    result: LabResult
    log: list[Event]
    sent: list[tuple[str, Any, int, int]]
    entered: list[tuple[str, int]]


@st.composite
def plans(draw: st.DrawFn, most: int = MOST) -> Staged:
    """Any. Who waits for whom is acyclic, and has nothing to do with the plan's order."""
    names = [f"n{i}" for i in range(draw(st.integers(1, most)))]
    width = draw(st.sampled_from([0, 0, 3, 6]))
    scripts, courses, nodes = dict[str, Script](), dict[str, Course](), list[Node]()
    for position, name in enumerate(names):
        barrier = frozenset(names[max(0, position - position % width - width) : position - position % width] if width else ())
        nodes.append(draw(_nodes(name, names[:position], barrier)))
        scripts[name], courses[name] = draw(_works(nodes[-1]))
    latency, caller = draw(st.sampled_from([(None, None), (None, ms(4)), (ms(250), None), (ms(1000), ms(400)), (ms(90), None)]))
    return Staged(Plan("p", tuple(draw(st.permutations(nodes))), latency, ms(25), draw(rules)), scripts, courses, caller)


@st.composite
def _nodes(draw: st.DrawFn, name: str, before: list[str], barrier: frozenset[str]) -> Node:
    some = st.frozensets(st.sampled_from(before), max_size=2) if before else st.just(frozenset())
    asks, feeds = draw(some), draw(some)
    timeout = draw(st.sampled_from([None, None, None, ms(10), ms(60), ms(3)]))
    return Node(
        name,
        WORKERS[draw(st.sampled_from([*[Effect.READ] * 4, Effect.WRITE])), draw(st.sampled_from([False, False, True]))],
        required=draw(st.sampled_from([False] * 20 + [True])),
        weight=draw(st.sampled_from([1.0, 1.0, 0.1, 2.5])),
        soft=draw(st.sampled_from([None, None, None, ms(20)])),
        timeout=timeout,
        if_missing=draw(st.sampled_from([*[IfMissing.SKIP] * 4, IfMissing.USE, IfMissing.USE, IfMissing.FAIL])),
        default={"v": 3},
        condition=draw(_conditions(sorted(asks))),
        input=draw(_inputs(sorted(feeds))),
        discard_broken=draw(st.sampled_from([False, False, True])),
        edges=Edges(asks, feeds, barrier),
        min_time=min(draw(st.sampled_from([0, 0, 0, ms(6), ms(20), ms(60)])), timeout or LONGEST),
        allow_partial_input=draw(st.booleans()),
    )


def _conditions(asks: list[str]) -> st.SearchStrategy[Condition | None]:
    def judged(judge: Callable[[Any], bool | Unreadable]) -> Condition:
        return lambda reading: next((held for one in asks if (held := judge(reading.branches[one])) is not True), True)

    never: Condition = lambda _: False  # noqa: E731  (a value among values)
    wrong: Condition = lambda _: Unreadable("no such key: x")  # noqa: E731
    always = [judged(lambda view: view["state"] in S.__members__)]
    if not asks:
        return st.sampled_from([None] * 12 + [never, wrong])
    answered = judged(lambda view: view["ok"])
    failed = judged(lambda view: not view["ok"])
    sure = judged(lambda view: view["confidence"] >= 0.5)
    told = judged(lambda view: view["output"]["v"] > 2 if "v" in view["output"] else Unreadable("no such key: v"))
    return st.sampled_from([answered] * 5 + always * 3 + [failed, sure, told, never])


def _inputs(feeds: list[str]) -> st.SearchStrategy[Mapping | None]:
    def all_of(reading: Reading) -> Any:
        return {name: reading.branches[name]["output"] for name in feeds}

    def value_of(reading: Reading) -> Any:
        found = reading.branches[feeds[0]]["output"]
        return found["v"] if isinstance(found, dict) and "v" in found else Unreadable("no such key: v")

    return st.sampled_from([all_of, all_of, value_of]) if feeds else st.none()


@st.composite
def _works(draw: st.DrawFn, node: Node) -> tuple[Script, Course]:
    after, sure = draw(times), draw(st.sampled_from([None, 0.2, 0.9]))
    if not node.worker.streams:
        value = {"v": draw(st.integers(0, 5))}
        match draw(st.sampled_from(["answers"] * 9 + ["fails", "fails", "rubbish", "hangs"])):
            case "answers":
                return ends(value, after=after, confidence=sure), Course(after, value=value, sure=sure)
            case "fails":
                return fails(after=after), Course(after, S.FAILED, R.WORKER_ERROR)
            case "rubbish":
                return rubbish(after=after), Course(after, S.FAILED, R.INVALID_RESPONSE)
        return hangs(), Course(None)
    every, count = after // 4, draw(st.integers(1, 4))
    values: list[Any] = [{f"k{i}": [i]} for i in range(count)]
    whole: Any = {f"k{i}": [i] for i in range(count)}
    told = () if node.discard_broken else tuple((every * (i + 1), value) for i, value in enumerate(values))
    match draw(st.sampled_from(["ends", "ends", "ends", "breaks", "breaks", "hangs"])):
        case "ends":
            script = streams(values, every=every, confidence=sure)
            return script, Course(every * count, value=whole, sure=sure, parts=told)
        case "breaks":
            kept = None if node.discard_broken else whole
            return streams(values, every=every, then=fails()), Course(
                every * count, S.FAILED, R.STREAM_BROKEN, kept, parts=told
            )
    return streams(values, every=every, then=hangs()), Course(None, parts=told)


class _Noting(FakeWorker):
    """Plays the branch's script, and notes what it was sent."""

    __slots__ = ("_scripts", "_sent")

    def __init__(self, name: str, scripts: dict[str, Script], sent: list[tuple[str, Any, int, int]]) -> None:
        super().__init__(name)
        self._scripts, self._sent = scripts, sent

    async def call(self, attempt: Attempt, sink: Sink) -> Outcome:
        run = attempt.run
        arrived = run.request.arrived
        self._sent.append((run.node.id, run.input.value, attempt.sent_at - arrived, run.deadline - arrived))
        self.scripts = (self._scripts[run.node.id],)
        return await super().call(attempt, sink)  # takes its script before anything else can run


def played(staged: Staged, aggregate: Callable[[Deliver, int], AggregationSession] | None = None) -> Ran:
    """Run it, and wait until the last of its writes has ended, too."""
    recorder = Recorder()
    server = ServerConfig("127.0.0.1:0", None, "embedded", 0, Limits())
    workers = {worker.name: worker for worker in WORKERS.values()}

    async def main() -> Ran:
        lab = Lab(Config(Catalogue({"p": staged.plan}, workers), server, {}), aggregate=aggregate or recorder.open)
        sent: list[tuple[str, Any, int, int]] = []
        entered: list[tuple[str, int]] = []
        stack = lab._engine.branch

        async def noted(run: BranchRun, sink: Sink) -> Outcome:
            entered.append((run.node.id, run.deadline - run.request.arrived))
            return await stack(run, sink)

        lab._engine = replace(lab._engine, branch=noted)
        lab._workers = {name: _Noting(name, staged.scripts, sent) for name in workers}
        result = await lab.dispatch("p", {"v": 0}, timeout=staged.timeout)
        log = [] if aggregate else recorder.requests[0].log
        await virtual_sleep(LONGEST)
        lab.assert_nothing_left()
        return Ran(result, log, sent, entered)

    return run_virtual(main())
