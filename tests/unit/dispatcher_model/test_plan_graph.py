"""Who waits for whom, by position: what is found once per plan, and what is refused."""

from __future__ import annotations

import pytest

from dispatcher.model.graph import NO_EDGES, Edges, Graph, cycle, graph_of
from dispatcher.model.plan import Node, Plan, Worker

DIAMOND = [
    NO_EDGES,
    Edges(asks=frozenset("a")),
    Edges(feeds=frozenset("a")),
    Edges(asks=frozenset("b"), feeds=frozenset("bc"), after=frozenset("a")),
]


def diamond(*min_times: int) -> Graph:
    """A before b and c, those before d, which also only waits for a."""
    graph = graph_of("abcd", DIAMOND, min_times)
    assert graph is not None
    return graph


def test_names_become_positions() -> None:
    """Each edge once, whatever it is for; positions in plan order, not in that of the names."""
    graph = diamond(0, 0, 0, 0)
    assert graph.asks == ((), (0,), (), (1,))
    assert graph.feeds == ((), (), (0,), (1, 2))
    assert graph.before == ((), (0,), (0,), (0, 1, 2))
    assert graph.after == ((1, 2, 3), (3,), (3,), ())
    backwards = graph_of("cba", [Edges(feeds=frozenset("ab")), NO_EDGES, NO_EDGES], [0, 0, 0])
    assert backwards is not None
    assert backwards.before == ((1, 2), (), ())


@pytest.mark.parametrize(
    ("min_times", "tails"),
    [
        ((1, 0, 0, 0), (0, 0, 0, 0)),
        ((1, 2, 3, 4), (7, 4, 4, 0)),
        ((0, 5, 3, 4), (9, 4, 4, 0)),
        ((9, 0, 0, 4), (4, 4, 4, 0)),
    ],
)
def test_a_tail_is_the_longest_path_of_min_times_behind_a_node(min_times: tuple[int, ...], tails: tuple[int, ...]) -> None:
    """Its own is not part of it."""
    assert diamond(*min_times).tails == tails


@pytest.mark.parametrize(
    ("ended", "tail"),
    [("....", 7), ("..c.", 6), (".b..", 7), (".bc.", 4), ("...d", 3), (".bcd", 0), ("..cd", 2)],
)
def test_who_has_ended_needs_no_time(ended: str, tail: int) -> None:
    """The rest of a path counts on, as far as it can still be gone: d also waits for a itself."""
    graph = diamond(1, 2, 3, 4)
    assert graph.tail(0, [0 if place == "." else 9 for place in ended]) == tail


def test_a_tail_is_counted_once_per_node_and_not_once_per_path() -> None:
    """Twenty diamonds behind each other have a million paths."""
    names, edges = ["n0"], [NO_EDGES]
    for i in range(0, 60, 3):
        names += [f"n{i + 1}", f"n{i + 2}", f"n{i + 3}"]
        edges += [Edges(feeds=frozenset({f"n{i}"}))] * 2 + [Edges(feeds=frozenset({f"n{i + 1}", f"n{i + 2}"}))]
    graph = graph_of(names, edges, [1] * len(names))
    assert graph is not None
    assert graph.tail(0, [0] * 60 + [1]) == 39


def test_a_chain_may_be_longer_than_the_stack_is_deep() -> None:
    """Two thousand nodes, one of which has ended early: those before it leave no time for it, nor for any behind it."""
    names = [f"n{i}" for i in range(2000)]
    edges = [NO_EDGES, *(Edges(feeds=frozenset({name})) for name in names[:-1])]
    graph = graph_of(names, edges, [1] * 2000)
    assert graph is not None
    assert graph.tails[0] == 1999
    assert graph.tail(0, [int(i == 1500) for i in range(2000)]) == 1499


def test_without_edges_there_is_no_graph() -> None:
    """A plan in which nobody waits starts everything at once, and pays for nothing else."""
    assert graph_of("ab", [NO_EDGES, NO_EDGES], [1, 2]) is None
    assert Plan("p", (Node("a", Worker("a"), min_time=5),)).graph is None


def test_what_cannot_be_a_graph_is_refused() -> None:
    """A name that the plan does not have, and a ring, which is named from where it begins."""
    with pytest.raises(ValueError, match="nodes wait for x, y, which the plan does not have"):
        graph_of("ab", [Edges(asks=frozenset("y")), Edges(after=frozenset("x"))], [0, 0])
    with pytest.raises(ValueError, match=r"nodes wait for each other: (a → b → a|b → a → b)"):
        graph_of("ab", [Edges(asks=frozenset("b")), Edges(feeds=frozenset("a"))], [0, 0])
    with pytest.raises(ValueError, match="wait for each other"):
        Plan("p", (Node("a", Worker("a"), edges=Edges(feeds=frozenset("a"))),))


def test_a_ring_is_found_among_those_that_are_none() -> None:
    """Its first name stands at its end again; without a ring there is nothing."""
    ring = cycle({"a": frozenset(), "b": frozenset("ad"), "c": frozenset("b"), "d": frozenset("c")})
    assert (ring[0], len(ring), set(ring)) == (ring[-1], 4, set("bcd"))
    assert cycle({"a": frozenset("b"), "b": frozenset()}) == ()
