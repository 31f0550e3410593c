"""The graph of a plan: as a tree, as Mermaid, as SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings

from fanmesh.cli.drawing.layout import COLUMN, Size, lay_out
from fanmesh.cli.drawing.links import Kind, graph_of
from fanmesh.cli.drawing.mermaid import mermaid
from fanmesh.cli.drawing.svg import svg
from fanmesh.cli.drawing.tree import tree
from fanmesh.cli.explain import timeline
from fanmesh.model.states import BranchReason
from fanmesh.v1.dispatcher_pb2 import ExplainNode
from tests.kit.explained import node, plans, told

SVG = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ET.Element:
    """The picture as XML."""
    return ET.fromstring(text)  # noqa: S314  (our own)


CASCADE = [
    node("small", ends_by=500, deadline=500),
    node("medium", asks=["small"], ends_by=500, deadline=100, condition="!(branches.small.ok)"),
    node("large", asks=["small", "medium"], min_time=400, condition="!(branches.small.ok) &&\n !(branches.medium.ok)"),
]
MIXED = [
    node("a", required=True),
    node("b", worker="other", runs=False, reason=BranchReason.CONDITION, condition="false"),
    node("c", feeds=["a"], asks=["a", "b"], condition="branches.b.ok"),
    node("d", feeds=["a"], after=["b"]),
    node("e", after=["a", "b"]),
]


def test_a_cascade_as_a_tree() -> None:
    """Each below the one it waits for the longest; beside it when it ends, its own limits, and all that it waits for."""
    assert tree(CASCADE, 100).splitlines() == [
        "small        by 500 ms",
        "└┄ medium    by 500 ms  timeout 100 ms  after small",
        "   │ if !(branches.small.ok)",
        "   └┄ large  by 900 ms  min 400 ms      after small, medium",
        "        if !(branches.small.ok) && !(branches.medium.ok)",
        "  ┄ its `if` reads it",
    ]


def test_strokes_tell_why_a_node_waits() -> None:
    """Fed, asked, or only after; what does not run says why."""
    assert tree(MIXED, 100).splitlines() == [
        "a     by 900 ms  required",
        "└─ d  by 900 ms  after a, b",
        "b     by 900 ms  not sent: CONDITION",
        "│ if false",
        "├┄ c  by 900 ms  after a, b",
        "│    if branches.b.ok",
        "╘═ e  by 900 ms  after a, b",
        "  ─ is fed by the one above · ┄ its `if` reads it · ═ waits for its stage",
    ]


def test_many_names_go_on_below() -> None:
    """What a node waits for is never cut off: it has as many lines as it needs, in a narrow terminal below its name."""
    many = [f"branch_{i}" for i in range(12)]
    nodes = [*map(node, many), node("last", after=many, min_time=50), node("next", feeds=["last"], condition="true")]
    for width in (100, 60, 40):
        lines = tree(nodes, width).splitlines()
        assert all(len(line) <= width for line in lines)
        said = " ".join(" ".join(line.strip("│ ") for line in lines).split())
        assert f"after {', '.join(many)}" in said
        assert "after last" in said


def test_a_plan_in_which_no_node_waits_has_no_tree() -> None:
    """The table says it all."""
    assert tree([node("a"), node("b")], 100) == ""


@given(plans())
@settings(max_examples=40)
def test_a_tree_has_each_node_once_and_fits(nodes: list[ExplainNode]) -> None:
    """Whatever waits for what, in plan order or against it."""
    lines = tree(nodes, 100).splitlines()
    assert all(len(line) <= 100 for line in lines)
    if lines:
        named = [match[1] for line in lines if (match := re.match(r"[│├└╞╘─┄═ ]*(n\d+) +by ", line))]
        assert sorted(named) == sorted(node.branch for node in nodes)


def test_a_chain_of_hundreds_is_drawn() -> None:
    """Without recursion, and with room for words."""
    chain = [node("n0"), *(node(f"n{i}", feeds=[f"n{i - 1}"]) for i in range(1, 300))]
    lines = tree(chain, 100).splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert [line.split()[0].strip("└─│") for line in lines[:-1]] == [node.branch for node in chain]
    assert len(parsed(svg(told(*chain))).findall(f".//{SVG}rect[@class='box']")) == 300


def test_stages_are_joined_once() -> None:
    """From each to a joint, from the joint to each, also to one that reads a node of that stage; nothing is joined alone."""
    first, second = ["a", "b", "c"], ["d", "e", "f"]
    nodes = [*map(node, first), *(node(name, after=first) for name in second[:2]), node("f", feeds=["a"], after=["b", "c"])]
    graph = graph_of([*nodes, node("g", after=second)])
    assert [vertex.node is None for vertex in graph.vertices] == [False] * 7 + [True]
    assert sorted((line.source, line.target) for line in graph.lines if line.kind is Kind.AFTER) == [
        (0, 7), (1, 7), (2, 7), (3, 6), (4, 6), (5, 6), (7, 3), (7, 4), (7, 5),
    ]  # fmt: skip
    assert [line for line in graph.lines if line.kind is Kind.FEEDS] == [(0, 5, Kind.FEEDS)]


def test_mermaid() -> None:
    """Solid for what is read, dotted for what an `if` reads, thick for a stage; quotes and markup are escaped."""
    nodes = [
        node("a", required=True),
        node("b", worker="w", asks=["a"], condition='branches.a.state != "<b>"'),
        node("c", feeds=["a"], min_time=50),
        node("d", after=["a"], runs=False, reason=BranchReason.CONDITION),
    ]
    assert mermaid(nodes).splitlines() == [
        "flowchart LR",
        '  n0["a<br/>by 900 ms<br/>required"]',
        '  n1["b ← w<br/>by 900 ms<br/>if branches.a.state != #34;#60;b#62;#34;"]',
        '  n2["c<br/>by 900 ms<br/>min 50 ms"]',
        '  n3["d<br/>by 900 ms<br/>not sent: CONDITION"]',
        "  n0 -.-> n1",
        "  n0 --> n2",
        "  n0 ==> n3",
        "  classDef required stroke-width:3px",
        "  class n0 required",
        "  classDef maybe stroke-dasharray:4 3",
        "  class n1 maybe",
        "  classDef off opacity:0.5",
        "  class n3 off",
    ]


@given(plans())
@settings(max_examples=40)
def test_mermaid_has_a_line_for_each_line(nodes: list[ExplainNode]) -> None:
    """No condition, whatever is in it, ends its label or begins a new statement."""
    statement = re.compile(
        r'flowchart LR|  n\d+(\["[^"]*"\]|\(\("stage"\)\))|  n\d+ (-->|-\.->|==>) n\d+|  class(Def)? [\w,]+ \S.*'
    )
    text = mermaid(nodes)
    assert [line for line in text.split("\n") if not statement.fullmatch(line)] == []
    assert sum("> n" in line for line in text.split("\n")) == len(graph_of(nodes).lines)


@given(plans(largest=8))
@settings(max_examples=40)
def test_svg_is_well_formed_whatever_a_condition_says(nodes: list[ExplainNode]) -> None:
    """Markup in it is text, and what XML has no place for is left out."""
    assert len(parsed(svg(told(*nodes))).findall(f".//{SVG}g")) == 1 + len(nodes)


@pytest.mark.parametrize("nodes", [CASCADE, MIXED, [node("alone")]])
def test_svg_shows_every_node(nodes: list[ExplainNode]) -> None:
    """Well-formed, with each id and limit, for readers of light and of dark; nothing is fetched to show it."""
    text = svg(told(*nodes))
    shown = {"".join(element.itertext()) for element in parsed(text).iter(f"{SVG}text")}
    assert {node.branch for node in nodes} <= shown
    assert "by 900 ms" in shown
    assert "prefers-color-scheme:dark" in text
    assert re.findall(r"https?:[^\"']*", text) == ["http://www.w3.org/2000/svg"]


@given(plans())
@settings(max_examples=40, deadline=None)
def test_no_box_lies_on_another_and_no_line_passes_through_one(nodes: list[ExplainNode]) -> None:
    """In the columns of boxes lines are level and keep clear of all but their ends; else they go from column to column."""
    graph = graph_of(nodes)
    sizes = [Size(80.0 + 5 * (at % 7), 40.0 + 17 * (at % 3)) for at in range(len(graph.vertices))]
    pairs = [(line.source, line.target) for line in graph.lines]
    layout = lay_out(sizes, [vertex.depth for vertex in graph.vertices], pairs)
    boxes = [(p.x, p.y, p.x + s.width, p.y + s.height) for p, s in zip(layout.places, sizes, strict=True)]
    inside = (-0.01, -0.01, layout.width + 0.01, layout.height + 0.01)
    for at, (left, top, right, bottom) in enumerate(boxes):
        assert inside[0] <= left < right <= inside[2]
        assert inside[1] <= top < bottom <= inside[3]
        for other in boxes[at + 1 :]:
            assert right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
    for (source, target), route in zip(pairs, layout.routes, strict=True):
        assert all(two.x - one.x == pytest.approx(COLUMN) for one, two in zip(route[1::2], route[2::2], strict=False))
        for one, two in zip(route[::2], route[1::2], strict=True):
            assert one.y == two.y
            for at, (left, top, right, bottom) in enumerate(boxes):
                if at not in (source, target):
                    assert not (top <= one.y <= bottom and one.x < right and left < two.x)


def test_the_same_plan_has_the_same_picture() -> None:
    """Byte for byte: pictures in documents change only with what they show."""
    assert svg(told(*MIXED)) == svg(told(*MIXED))


def test_the_time_line_of_nodes_that_wait() -> None:
    """Nobody knows when they start: until when they may run, and what is kept for them."""
    lines = timeline(told(*CASCADE)).splitlines()
    assert lines[1:] == [
        "small    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┤",
        "medium   ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┃  timeout 100 ms",
        "large    ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄━━━━━━━━━━━━━━━━━━━━━━━┃  min 400 ms",
        "request  ─────────────────────────────────────────────────────┃╌│  stop 900 ms",
        "         ┄ starts when what it waits for has ended · ━ the min_time that is kept for it",
    ]
