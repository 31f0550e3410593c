"""The graph of a plan and its countdown, against what takes every path and looks at every node again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.flow.schedule import Schedule, Step, Turn
from dispatcher.model.graph import Edges, Graph, cycle, graph_of

MOST = 12
"""Nodes: every path is taken, and there may be 2 ** (MOST − 2) of them."""


class Drawn(NamedTuple):
    """A plan without its workers. `shuffled`: the names in plan order, which is not that of who waits for whom."""

    shuffled: list[str]
    edges: dict[str, Edges]
    min_times: dict[str, int]

    @property
    def graph(self) -> Graph | None:
        """What is found in it."""
        names = self.shuffled
        return graph_of(names, [self.edges[name] for name in names], [self.min_times[name] for name in names])


@st.composite
def plans(draw: st.DrawFn) -> Drawn:
    """Any acyclic plan: each node waits for some of those before it, for whatever reason."""
    names = [f"n{i}" for i in range(draw(st.integers(1, MOST)))]
    edges = {}
    for position, name in enumerate(names):
        some = st.frozensets(st.sampled_from(names[:position]), max_size=3) if position else st.just(frozenset())
        edges[name] = Edges(draw(some), draw(some), draw(some))
    times = {name: draw(st.sampled_from([0, 0, 1, 5, 40])) for name in names}
    return Drawn(draw(st.permutations(names)), edges, times)


def paths(drawn: Drawn, start: str, gone: frozenset[str]) -> Iterator[list[str]]:
    """Every way on from `start` over nodes that have not ended, the empty one too."""
    yield []
    for name in drawn.shuffled:
        if start in drawn.edges[name].all() and name not in gone:
            for rest in paths(drawn, name, gone):
                yield [name, *rest]


@given(plans(), st.data())
def test_a_tail_is_the_longest_of_all_paths(drawn: Drawn, data: st.DataObject) -> None:
    """Whoever has ended, wherever a node stands."""
    graph = drawn.graph
    gone = data.draw(st.frozensets(st.sampled_from(drawn.shuffled)))
    if graph is None:
        assert not any(edges.all() for edges in drawn.edges.values())
        return
    ended = [7 * (name in gone) for name in drawn.shuffled]
    for position, name in enumerate(drawn.shuffled):
        longest = max(sum(drawn.min_times[one] for one in path) for path in paths(drawn, name, gone))
        assert graph.tail(position, ended) == longest
        assert graph.tails[position] == max(sum(drawn.min_times[n] for n in p) for p in paths(drawn, name, frozenset()))
        assert graph.tail(position, [0] * len(ended)) >= longest >= 0  # an ending gives time back, and never takes any


@given(plans(), st.data())
def test_each_node_has_its_turn_exactly_when_nothing_is_left_that_it_waits_for(drawn: Drawn, data: st.DataObject) -> None:
    """Whatever the order of endings: START once, at the last ending it waits for; ASK once, only if that comes before."""
    graph, names = drawn.graph, drawn.shuffled
    if graph is None:
        return
    schedule, last = Schedule(graph), ""
    ended, asked, started = set[str](), set[str](), set[str]()
    told = schedule.first()
    while True:
        for step in told:
            edges = drawn.edges[names[step.node]]
            waited = edges.all() if step.turn is Turn.START else edges.asks
            assert step.turn is (Turn.START if edges.all() <= ended else Turn.ASK)
            assert waited <= ended
            assert last in waited or not last  # not before it, so not later than it either
            (started if step.turn is Turn.START else asked).add(names[step.node])
        assert [step.node for step in told] == sorted(step.node for step in told)
        assert started == {name for name in names if drawn.edges[name].all() <= ended}
        assert asked | started == {name for name in names if drawn.edges[name].asks <= ended}
        left = [name for name in names if name in asked | started and name not in ended]
        if not left:
            break
        last = data.draw(st.sampled_from(left))  # it may end before its START: its `if` was false
        ended.add(last)
        told = schedule.ended(names.index(last))
    assert ended == set(names)


@given(plans(), st.data())
def test_a_turn_is_given_once(drawn: Drawn, data: st.DataObject) -> None:
    """No node starts twice, and none is asked twice or after its start."""
    graph = drawn.graph
    if graph is None:
        return
    schedule = Schedule(graph)
    steps: list[Step] = schedule.first()
    for node in data.draw(st.permutations(range(len(drawn.shuffled)))):  # any order at all: it only counts
        steps += schedule.ended(node)
    starts = [step.node for step in steps if step.turn is Turn.START]
    assert sorted(starts) == list(range(len(drawn.shuffled)))
    assert len(set(steps)) == len(steps)
    for step in steps:
        if step.turn is Turn.ASK:
            assert steps.index(step) < steps.index(Step(step.node, Turn.START))


@given(st.dictionaries(st.sampled_from("abcdef"), st.frozensets(st.sampled_from("abcdef"), max_size=3)))
def test_a_ring_is_one_and_there_is_one_exactly_if_some_node_reaches_itself(waits: dict[str, frozenset[str]]) -> None:
    """By following every edge as long as there are new nodes."""
    reached = {name: set(waited) for name, waited in waits.items()}
    for _ in waits:
        for found in reached.values():
            found |= {further for one in found for further in waits.get(one, ())}
    ring = cycle(waits)
    assert bool(ring) is any(name in found for name, found in reached.items())
    if ring:
        assert ring[0] == ring[-1]
        one_way = all(b in waits[a] for a, b in pairwise(ring))
        assert one_way or all(a in waits[b] for a, b in pairwise(ring))
