"""Branches that read each other: the three ways to write them, who waits for whom, and what can never work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dispatcher.config import Config, Problem
from dispatcher.model.graph import Edges
from dispatcher.model.reading import Reading, Unreadable, View
from fanmesh.model.values import Value
from tests.kit.plan_text import text, told
from tests.kit.story import NoInput

Load = Callable[..., Config]
Wrong = Callable[..., list[Problem]]


def edges(load: Load, body: str) -> dict[str, Edges]:
    """Who waits for whom."""
    return {node.id: node.edges for node in load(text=text(body)).catalogue.plans["p"].nodes}


def test_edges_are_what_expressions_read(load: Load) -> None:
    """An `if` asks, `input` and `output` are fed, and nothing else makes a node wait."""
    found = edges(
        load,
        """
branches:
  a: {}
  b: {if: branches.a.ok, input: "${branches.a.output}"}
  c: {input: {x: ["${branches.b.output.y}"]}, output: "${[output, branches.a.output]}"}
""",
    )
    assert found["a"] == Edges()
    assert found["b"] == Edges(frozenset("a"), frozenset("a"))
    assert found["c"] == Edges(frozenset(), frozenset("ab"))
    assert {type(part) for one in found.values() for part in one} == {frozenset}, "a catalogue is never changed"


def test_a_stage_waits_for_the_whole_stage_before_it(load: Load) -> None:
    """Barriers are edges that read nothing."""
    found = edges(load, "stages: [{a: {}, b: {}}, {c: {}}, {s: {input: '${branches.a.output}'}}]")
    assert found["c"] == Edges(after=frozenset("ab"))
    assert found["s"] == Edges(feeds=frozenset("a"), after=frozenset("c"))


def test_a_cascade_is_a_chain_of_conditions_merged_by_confidence(load: Load) -> None:
    """A step asks all steps before it; how it decides is told in CEL."""
    body = "cascade: [{branch: a, stop_if: confidence > 0.5}, {branch: b, if: 'attributes.risk != \"\"'}, {branch: c}]"
    plan = load(text=text(body)).catalogue.plans["p"]
    assert plan.merge.kind == "best_confidence"
    assert [node.edges.asks for node in plan.nodes] == [frozenset(), frozenset("a"), frozenset("ab")]
    assert plan.nodes[1].condition_source == '!(branches.a.ok && (confidence > 0.5)) && (attributes.risk != "")'
    assert plan.nodes[2].condition_source == "!(branches.a.ok && (confidence > 0.5)) && !(branches.b.ok)"


@pytest.mark.parametrize(
    ("ok", "confidence", "risk", "b", "c"),
    [
        (True, 0.9, "high", False, False),
        (True, 0.4, "high", True, True),
        (True, 0.4, "", False, True),
        (False, 0.0, "high", True, True),
        (False, 0.9, "high", True, True),
    ],
)
def test_a_step_is_wanted_unless_one_before_it_was_good_enough(
    load: Load,
    ok: bool,  # noqa: FBT001
    confidence: float,
    risk: str,
    b: bool,  # noqa: FBT001
    c: bool,  # noqa: FBT001
) -> None:
    """By the answer alone: who did not answer was not, whatever else is known of it; and its own `if` has to hold, too."""
    body = "cascade: [{branch: a, stop_if: confidence > 0.5}, {branch: b, if: 'attributes.risk != \"\"'}, {branch: c}]"
    nodes = load(text=text(body)).catalogue.plans["p"].nodes
    told = View(ok=ok, state="SUCCEEDED" if ok else "FAILED", confidence=confidence, output={})
    silent = View(ok=False, state="SKIPPED", confidence=0.0, output={})
    reading = Reading(NoInput(), {"risk": risk}, None, {"a": told, "b": silent})
    assert nodes[0].condition is None
    assert [node.condition is not None and node.condition(reading) for node in nodes[1:]] == [b, c]


def test_a_step_that_cannot_be_judged_does_not_end_a_cascade(load: Load) -> None:
    """And one whose own `if` cannot be evaluated says so."""
    body = "cascade: [{branch: a, stop_if: output.sure}, {branch: b, if: branches.a.output.x}, {branch: c}]"
    nodes = load(text=text(body)).catalogue.plans["p"].nodes
    silent = View(ok=False, state="SKIPPED", confidence=0.0, output={})
    judged: list[tuple[Value, bool]] = [({"sure": True}, False), ({}, True), ({"sure": False}, True)]
    for output, wanted in judged:
        seen = {"a": View(ok=True, state="SUCCEEDED", confidence=0.0, output=output), "b": silent}
        reading = Reading(NoInput(), {}, None, seen)
        assert nodes[2].condition is not None
        assert nodes[2].condition(reading) is wanted
        assert nodes[1].condition is not None
        assert isinstance(nodes[1].condition(reading), Unreadable) is wanted


WRONG = {
    "plans.p.branches.a: branches wait for each other: a → b → a": (
        "branches: {a: {if: branches.b.ok}, b: {input: '${branches.a.output}'}}"
    ),
    "plans.p.branches.a: a branch cannot read itself": "branches: {a: {input: '${branches.a.output}'}}",
    "plans.p.branches: is missing: what is called, by name, in plan order": "complete: {until: all}",
    "plans.p.stages: stands beside branches": "branches: {a: {}}\nstages: [{b: {}}]",
    "plans.p.stages: the branch a is given twice": "stages: [{a: {}}, {a: {}}]",
    "plans.p.cascade: the branch a is given twice": "cascade: [{branch: a}, {branch: a}]",
    "plans.p.stages: there is no branch": "stages: [{}]",
    "plans.p.branches: there is no branch": "branches: {}",
    "plans.p.cascade[0].branch: is missing: the branch's name": "cascade: [{stop_if: confidence > 0.5}]",
    "plans.p.stages[1].x: unknown worker 'x'": "stages: [{a: {}}, {x: {}}]",
    "plans.p.branches.a.min_time: 2s is longer than its timeout 1s: it never runs": (
        "branches: {a: {min_time: 2s, timeout: 1s}}"
    ),
    "plans.p.budget.latency: the min_time of a → b adds up to 1.1s; branches have 975ms": (
        "branches: {a: {min_time: 600ms}, b: {if: branches.a.ok, min_time: 500ms}}"
    ),
    "plans.p.branches.s.on_stream_failure: what is kept of a broken stream would feed the write w": (
        "branches: {s: {on_stream_failure: keep}, w: {input: '${branches.s.output}'}}"
    ),
    "plans.p.branches.a.allow_partial_input: no effect: this branch is fed by the request alone": (
        "branches: {a: {allow_partial_input: true}}"
    ),
}


@pytest.mark.parametrize("said", WRONG)
def test_what_can_never_work_is_said(wrong: Wrong, said: str) -> None:
    """At its place, by its path."""
    assert any(one.startswith(said) for one in told(wrong, WRONG[said])), told(wrong, WRONG[said])


def test_one_name_in_two_ways_is_one_mistake(wrong: Wrong) -> None:
    """That the ways stand beside each other is said; that the name then is there twice is not."""
    assert [one.partition(";")[0] for one in told(wrong, "branches: {a: {}}\nstages: [{a: {}}]")] == [
        "plans.p.stages: stands beside branches"
    ]


@pytest.mark.parametrize(
    ("body", "path", "caret"),
    [
        ("branches: {a: {}, b: {if: branches.aa.ok}}", "plans.p.branches.b.if", "unknown branch 'aa'; did you mean 'a'?"),
        ("branches: {a: {}, b: {input: '${branches.a.out}'}}", "plans.p.branches.b.input", "a branch has no field 'out'"),
        ("branches: {a: {}, b: {if: branches.a}}", "plans.p.branches.b.if", "branches.a is read field by field"),
        ("cascade: [{branch: a, stop_if: confidense > 1.0}]", "plans.p.cascade[0].stop_if", "unknown name 'confidense'"),
        ("stages: [{a: {}}, {b: {if: branches.c.ok}}]", "plans.p.stages[1].b.if", "unknown branch 'c'"),
    ],
)
def test_a_typo_in_what_is_read_is_shown(wrong: Wrong, body: str, path: str, caret: str) -> None:
    """With the path of the expression and what was probably meant."""
    (said,) = told(wrong, body.replace("stop_if: confidense > 1.0}]", "stop_if: confidense > 1.0}, {branch: b}]"))
    assert said.startswith(f"{path}: ")
    assert caret in said


def test_a_stream_that_feeds_a_write_is_held_back(load: Load) -> None:
    """Unless the write says that parts are good enough."""
    body = "branches: {s: {}, w: {input: '${branches.s.output}', allow_partial_input: ALLOW}}"
    held = load(text=text(body.replace("ALLOW", "false"))).catalogue.plans["p"].nodes[0]
    free = load(text=text(body.replace("ALLOW", "true"))).catalogue.plans["p"].nodes[0]
    assert (held.discard_broken, free.discard_broken) == (True, False)


def test_for_each_is_a_list_or_says_more(load: Load) -> None:
    """A bare `${…}` is its list; tolerated failures are a count or a share."""
    body = "branches: {a: {for_each: '${input.list}'}, b: {for_each: {items: '${branches.a.output}', tolerate: OK}}}"
    for written, meant in (("3", 3), ("10%", 0.1), ("0", 0)):
        a, b = load(text=text(body.replace("OK", written))).catalogue.plans["p"].nodes
        assert a.each is not None
        assert b.each is not None
        assert (a.each.tolerated, b.each.tolerated, b.edges.feeds) == (None, meant, frozenset("a"))
    assert [a.each.allowed(7, must=must) for must in (True, False)] == [0, 7]
    assert b.each.allowed(7, must=False) == 0


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("for_each: 3", "3 is not allowed here"),
        ("for_each: input.ids", "for_each: input.ids is text, not a list"),
        ("for_each: {items: input.ids}", "for_each.items: input.ids is text, not a list"),
        ("for_each: ''", "for_each: '' is text, not a list"),
        ("for_each: 'some ${input.ids}'", "for_each: some ${input.ids} is text, not a list"),
        ("for_each: '$${input.ids}'", "for_each: $${input.ids} is text, not a list"),
        ("for_each: '${size(input.ids)}'", "for_each: ${size(input.ids)} is of type int, not a list"),
        ("for_each: '${input.ids == 1}'", "for_each: ${input.ids == 1} is of type bool, not a list"),
        ("for_each: {items: {a: '${input.ids}'}}", "for_each.items: a mapping is not a list"),
        ("for_each: {items: 3}", "for_each.items: 3 is not a list"),
        ("for_each: {items: null}", "for_each.items: null is not a list"),
        ("for_each: {}", "for_each.items: is missing: the list"),
        ("for_each: {items: '${input.l}', tolerate: 101%}", "for_each.tolerate: 101% is more than all"),
        ("for_each: {items: '${input.l}', tolerate: -1}", "for_each.tolerate: -1 is not a number of failures"),
        ("for_each: {items: '${input.l}', max_concurrency: 0}", "for_each.max_concurrency: 0 is not allowed"),
        ("for_each: {items: '${item}'}", "for_each.items: unknown name 'item'"),
        ("for_each: {items: '${input.l}', key: '${itm.id}'}", "for_each.key: unknown name 'itm'"),
        ("input: '${item}'", "input: unknown name 'item'"),
    ],
)
def test_what_for_each_cannot_mean_is_said(wrong: Wrong, key: str, said: str) -> None:
    """`item` and `index` are there only where there is a list."""
    (problem,) = told(wrong, f"branches: {{a: {{{key}}}}}")
    assert said in problem


@pytest.mark.parametrize(
    ("items", "meant"),
    [
        ("input.ids", "${input.ids}"),
        ("branches.b.output", "${branches.b.output}"),
        ("ids", "a list such as ${input.items}"),
        ("size(input.ids)", "a list such as ${input.items}"),
        ("$${input.ids}", "a list such as ${input.items}"),
        ("3", "a list such as ${input.items}"),
    ],
)
def test_a_list_whose_braces_were_forgotten_is_shown_with_them(wrong: Wrong, items: str, meant: str) -> None:
    """Where that would be an expression which may be a list; else what one looks like."""
    problems = wrong(text=text(f"branches: {{a: {{for_each: {{items: '{items}'}}}}, b: {{}}}}"))
    assert [p.expected for p in problems if p.severity == "error"] == [meant]


def test_a_list_may_be_written_out(load: Load) -> None:
    """As a list of anything, also of expressions; or be made by an expression."""
    for items in ("[]", "[1, '${input.a}']", "'${[1, 2]}'", "'${input.ids.map(i, i.id)}'", "'${input}'"):
        (node,) = load(text=text(f"branches: {{a: {{for_each: {{items: {items}}}}}}}")).catalogue.plans["p"].nodes
        assert node.each is not None, items


def test_a_merge_has_to_take_what_is_gathered(wrong: Wrong) -> None:
    """A list of answers is no map; a map by key is."""
    body = "branches: {a: {for_each: {items: '${input.l}', gather: HOW}}}\nmerge: deep_merge"
    assert "plans.p.branches.a.for_each: merge deep_merge cannot take it" in told(wrong, body.replace("HOW", "list"))[0]
    assert told(wrong, body.replace("HOW", "map")) == []
