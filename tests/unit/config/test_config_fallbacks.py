"""Fallbacks as they are written: what they become, and what can never work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatcher.config import Config, Problem
from dispatcher.model.plan import Node
from fanmesh.model.times import MS
from tests.kit.plan_text import text, told

Load = Callable[..., Config]
Wrong = Callable[..., list[Problem]]


def nodes(load: Load, body: str) -> dict[str, Node]:
    """The nodes, by name."""
    return {node.id: node for node in load(text=text(body)).catalogue.plans["p"].nodes}


def test_a_chain_is_flat_and_in_order(load: Load) -> None:
    """Each is the branch once more, with another worker; the branch's `timeout` is how long its own worker may take."""
    (node,) = nodes(
        load,
        """
branches:
  a:
    timeout: 300ms
    weight: 3
    required: true
    input: "${input.x}"
    output: "${output.y}"
    fallback: {worker: b, timeout: 100ms, min_time: 20ms, input: "${input.z}", fallback: {use: [1]}}
""",
    ).values()
    first, second = node.fallbacks
    assert (node.timeout, node.patience, first.timeout, first.least, second.least) == (
        None,
        300 * MS,
        100 * MS,
        20 * MS,
        5 * MS,
    )
    assert first.node is not None
    assert (first.node.id, first.node.worker.name, first.node.weight, first.node.required) == ("a", "b", 3, True)
    assert first.node.input is not None
    assert first.node.input is not node.input
    assert first.node.output is node.output
    assert (second.node, second.branch, second.value) == (None, "", [1])
    assert [one.whom for one in node.fallbacks] == ["worker b", "value"]


def test_a_branch_without_one_is_as_it_was(load: Load) -> None:
    """Its `timeout` is its hard timeout."""
    (node,) = nodes(load, "branches: {a: {timeout: 300ms}}").values()
    assert (node.timeout, node.patience, node.fallbacks) == (300 * MS, None, ())


def test_a_branch_that_stands_in_is_not_waited_for_before(load: Load) -> None:
    """It is no edge: both start at once."""
    found = nodes(load, "branches: {a: {fallback: {branch: b}}, b: {}}")
    assert not found["a"].edges.all()
    assert found["a"].fallbacks[0].branch == "b"


def test_parts_that_would_feed_a_write_are_held_back_whoever_streams(load: Load) -> None:
    """The worker does not stream, and its fallback does."""
    found = nodes(load, 'branches: {a: {fallback: {worker: s}}, w: {input: "${branches.a.output}"}}')
    fallback = found["a"].fallbacks[0].node
    assert fallback is not None
    assert (found["a"].whole_only, fallback.whole_only) == (True, True)


WRONG: list[Any] = [
    ("{}", "branches.a.fallback: nobody is asked"),
    ("{timeout: 1ms}", "branches.a.fallback: nobody is asked"),
    ("{worker: b, use: 1}", "branches.a.fallback.use: stands beside worker"),
    ("{worker: b, branch: c}", "branches.a.fallback.branch: stands beside worker"),
    ("{worker: nobody}", "branches.a.fallback.worker: unknown worker 'nobody'"),
    ("{worker: w}", "branches.a.fallback.worker: worker w has effect write, and the branch's own has read"),
    ("{branch: a}", "branches.a.fallback.branch: a branch cannot stand in for itself"),
    ("{branch: cc}", "branches.a.fallback.branch: unknown branch 'cc'"),
    ("{branch: c, timeout: 1ms}", "branches.a.fallback.timeout: no effect beside branch"),
    ("{use: 1, output: 2}", "branches.a.fallback.output: no effect beside use"),
    ("{use: 1, fallback: {use: 2}}", "branches.a.fallback.fallback: no effect beside use"),
    ("{worker: b, retries: 2}", "branches.a.fallback.retries: unknown key"),
    ('{worker: b, input: "${branches.c.output}"}', "branches.a.fallback.input: reads c, which the branch itself does not"),
    ('{branch: c, output: "${branches.c.output}"}', "branches.a.fallback.output: reads c, which the branch itself does not"),
    ('{worker: b, output: "${outptu}"}', "branches.a.fallback.output: "),
    (
        "{worker: b, fallback: {worker: c, fallback: {worker: s}}}",
        "branches.a.fallback.fallback.fallback: more than 2 fallbacks of one branch",
    ),
]


@pytest.mark.parametrize(("fallback", "message"), WRONG)
def test_what_cannot_work_is_said_once(wrong: Wrong, fallback: str, message: str) -> None:
    """At the key that is wrong."""
    (said,) = told(wrong, f"branches: {{a: {{fallback: {fallback}}}, c: {{}}}}")
    assert said.startswith(f"plans.p.{message}")


@pytest.mark.parametrize(
    ("body", "ring"),
    [
        ("{a: {fallback: {branch: b}}, b: {fallback: {branch: a}}}", "a → b → a"),
        ('{a: {fallback: {branch: b}}, b: {input: "${branches.a.output}"}}', "a → b → a"),
        ('{a: {fallback: {branch: c}}, b: {if: branches.a.ok}, c: {input: "${branches.b.output}"}}', "a → c → b → a"),
    ],
)
def test_branches_that_would_wait_for_each_other(wrong: Wrong, body: str, ring: str) -> None:
    """Standing in is waiting, too: a ring of it would hold until stop."""
    (said,) = told(wrong, f"branches: {body}")
    members = set(ring.split(" → "))
    assert "branches wait for each other: " in said
    assert set(said.rsplit(": ", 1)[1].split(" → ")) == members


def test_a_value_that_the_merge_cannot_take(wrong: Wrong) -> None:
    """Known when the file is loaded, as for a default."""
    (said,) = told(wrong, "branches: {a: {fallback: {use: 1}}}\nmerge: union")
    assert said.startswith("plans.p.branches.a.fallback.use: merge union cannot take it: ")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("timeout: 970ms", None),
        ("timeout: 971ms", "971ms leaves no time for the fallback, which needs 5ms"),
        ("timeout: 700ms, soft_timeout: 800ms", None),  # the fallback may take longer than the worker
    ],
)
def test_a_worker_that_may_take_all_of_the_time(load: Load, keys: str, says: str | None) -> None:
    """A warning: after a fault there may be time all the same. 1 s less the reserve of 25 ms is 975 ms."""
    body = f"branches: {{a: {{{keys}, fallback: {{worker: b}}}}}}"
    found = [str(problem) for problem in load(text=text(body)).warnings if "no plan uses" not in problem.message]
    assert (len(found), all(says in one for one in found if says)) == (int(says is not None), True)


def test_a_worker_that_is_only_a_fallback_is_used(load: Load) -> None:
    """No warning about it."""
    warnings = load(text=text("branches: {a: {fallback: {worker: b}}}")).warnings
    assert not any(problem.path == "workers.b" for problem in warnings)


def test_the_version_changes_with_it(load: Load) -> None:
    """It is part of what a configuration means."""
    one, two = (load(text=text(f"branches: {{a: {{fallback: {{worker: {name}}}}}}}")).catalogue.version for name in "bc")
    assert one != two
