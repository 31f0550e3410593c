"""Who waits for whom is what the expressions of a configuration read, and nothing else, however they are written."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.assembly import MERGES
from dispatcher.config import load_mapping
from dispatcher.model.graph import Edges
from tests.kit.effort import tries
from tests.kit.plans import plan

ASKING = (
    "branches.{}.ok",
    "!branches.{}.ok",
    'branches.{}.state == "FAILED"',
    "branches.{}.confidence < 0.5",
    "has(branches.{}.output.x)",
)
READING = ("branches.{}.output", "branches.{}.output.x[0]", "{{'k': branches.{}.output}}", "size(branches.{}.output) + 1")

Written = dict[str, tuple[dict[str, Any], Edges]]


@st.composite
def written(draw: st.DrawFn) -> Written:
    """Up to five branches in any order, each as it is written, with what it has to wait for."""
    names = draw(st.permutations(["a", "b", "long_name", "d1", "e"]))[: draw(st.integers(2, 5))]
    found = {}
    for position, name in enumerate(names):
        some = st.lists(st.sampled_from(names[:position]), max_size=2, unique=True) if position else st.just([])
        asks, sent, given_ = draw(some), draw(some), draw(some)
        branch: dict[str, Any] = {}
        if asks:
            joined = draw(st.sampled_from([" && ", " || "]))
            branch["if"] = joined.join(draw(st.sampled_from(ASKING)).format(one) for one in asks)
        if sent:
            branch["input"] = draw(st.sampled_from([list, lambda read: {"deep": [{"k": read}]}]))(
                [f"${{{draw(st.sampled_from(READING)).format(one)}}}" for one in sent]
            )
        if given_:
            branch["output"] = {"own": "${output}", "of": [f"${{branches.{one}.output}}" for one in given_]}
        found[name] = branch, Edges(frozenset(asks), frozenset(sent) | frozenset(given_))
    return {name: found[name] for name in draw(st.permutations(names))}


@settings(max_examples=tries(20))
@given(written())
def test_edges_are_what_is_read(drawn: Written) -> None:
    """An `if` asks; `input` and `output` are fed; in the plan's order, which says nothing about them."""
    config = load_mapping(plan({name: branch for name, (branch, _) in drawn.items()}), MERGES)
    nodes = config.catalogue.plans["p"].nodes
    assert [node.id for node in nodes] == list(drawn)
    assert {node.id: node.edges for node in nodes} == {name: edges for name, (_, edges) in drawn.items()}


@settings(max_examples=tries(10))
@given(written(), st.data())
def test_stages_add_what_stands_in_the_one_before(drawn: Written, data: st.DataObject) -> None:
    """Each name in some stage behind those that it reads: besides what it reads it waits for the whole stage before."""
    stages: list[dict[str, Any]] = []
    left = dict(drawn)
    while left:
        ready = [name for name, (_, edges) in left.items() if not edges.all() & left.keys()]
        taken = data.draw(st.lists(st.sampled_from(ready), min_size=1, unique=True))
        stages.append({name: left.pop(name)[0] for name in taken})
    config = plan({name: {} for name in drawn})
    config["plans"]["p"] = {"budget": {"latency": "1s"}, "stages": stages}
    before = {name: frozenset(stages[at - 1] if at else ()) for at, stage in enumerate(stages) for name in stage}
    for node in load_mapping(config, MERGES).catalogue.plans["p"].nodes:
        assert node.edges == drawn[node.id][1]._replace(after=before[node.id])
