"""`merge: {synthesize: …}` as it is written: the branch that it adds, and what can never work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatcher.config import Config, Problem
from dispatcher.model.graph import Edges
from fanmesh.model.merge import MergeSpec
from fanmesh.model.times import MS

Load = Callable[..., Config]
Wrong = Callable[..., list[Problem]]

HEAD = """\
version: 1
workers:
  a: {target: "a:1", effect: read}
  b: {target: "b:1", effect: read}
  w: {target: "w:1", effect: read}
plans:
  p:
    budget: {latency: 1s}
"""


def text(merge: str, rest: str = "branches: {a: {}, b: {}}") -> str:
    """A configuration with this merge."""
    return f"{HEAD}    merge: {merge}\n" + "\n".join(f"    {line}" for line in rest.split("\n")) + "\n"


def told(wrong: Wrong, merge: str, rest: str = "branches: {a: {}, b: {}}") -> list[str]:
    """What is said about it, the unused workers aside."""
    problems = wrong(text=text(merge, rest))
    return [f"{p.path}: {p.message}" for p in problems if not p.message.startswith("no plan uses")]


def test_it_adds_a_last_branch_that_waits_for_all(load: Load) -> None:
    """As asked for, so that none makes its input missing; required, since nothing else is the result."""
    config = load(text=text('{synthesize: {worker: w, min_time: 300ms, timeout: 400ms, weight: 2, output: "${output.x}"}}'))
    plan = config.catalogue.plans["p"]
    node = plan.nodes[-1]
    assert (node.id, node.worker.name, node.required, node.weight, node.timeout, node.min_time) == (
        "synthesize", "w", True, 2, 400 * MS, 300 * MS,
    )  # fmt: skip
    assert node.edges == Edges(frozenset("ab"))
    assert node.input is not None
    assert node.output is not None
    assert plan.merge == MergeSpec("synthesize", {"branch": "synthesize", "otherwise": None})
    assert plan.graph is not None
    assert plan.graph.tails == (300 * MS, 300 * MS, 0)
    assert config.warnings == ()


@pytest.mark.parametrize("otherwise", ["collect", {"rrf": {"k": 3}}, {"priority": ["b"]}])
def test_with_another_merge_it_is_not_required(load: Load, otherwise: Any) -> None:
    """That merge is of the others, and knows them by name."""
    written = f"{{synthesize: {{worker: w, min_time: 1ms, otherwise: {otherwise}}}}}".replace("'", '"')
    plan = load(text=text(written)).catalogue.plans["p"]
    assert (plan.nodes[-1].required, plan.merge.options) == (False, {"branch": "synthesize", "otherwise": otherwise})


@pytest.mark.parametrize("rest", ["stages: [{a: {}}, {b: {}}]", "cascade: [{branch: a}, {branch: b}]"])
def test_whichever_way_branches_are_written(load: Load, rest: str) -> None:
    """It comes after them all."""
    plan = load(text=text("{synthesize: {worker: w, min_time: 1ms}}", rest)).catalogue.plans["p"]
    assert [node.id for node in plan.nodes] == ["a", "b", "synthesize"]
    assert plan.nodes[-1].edges.asks == frozenset("ab")


ALL = "branches: {a: {}, b: {}}"
WRONG: list[Any] = [
    ("synthesize", ALL, "merge: nobody makes one answer of all"),
    ("{synthesize: {}}", ALL, "merge.synthesize.worker: is missing"),
    ("{synthesize: {worker: x, min_time: 1ms}}", ALL, "merge.synthesize.worker: unknown worker 'x'"),
    ("{synthesize: {worker: w, min_time: 1ms, required: true}}", ALL, "merge.synthesize.required: unknown key"),
    ("{synthesize: {worker: w, min_tme: 1ms}}", ALL, "merge.synthesize.min_tme: unknown key (did you mean 'min_time'?)"),
    ("{synthesize: {worker: w}}", ALL, "merge.synthesize: no time is kept for it"),
    (
        "{synthesize: {worker: w, min_time: 1ms}}",
        "branches: {a: {}, synthesize: {worker: b}}",
        "merge.synthesize: a branch of the plan is called synthesize",
    ),
    (
        '{synthesize: {worker: w, min_time: 1ms, input: "${branches.c.output}"}}',
        ALL,
        "merge.synthesize.input: ",
    ),
    (
        "{synthesize: {worker: w, min_time: 1ms}}",
        'branches: {a: {input: "${branches.synthesize.output}"}, b: {}}',
        "branches.a: branches wait for each other: ",
    ),
    (
        "{synthesize: {worker: w, min_time: 1ms, otherwise: rrrf}}",
        ALL,
        "merge.synthesize.otherwise: no merge 'rrrf', did you mean 'rrf'",
    ),
    (
        "{synthesize: {worker: w, min_time: 1ms, otherwise: {priority: [c]}}}",
        ALL,
        "merge.synthesize.otherwise.priority[0]: no branch 'c'",
    ),
    (
        "{synthesize: {worker: w, min_time: 1ms, otherwise: {custom: {call: 'x:y'}}}}",
        ALL,
        "merge.synthesize.otherwise.custom: custom cannot be what is used without the synthesis",
    ),
    (
        "{synthesize: {worker: w, min_time: 1ms, otherwise: collect}}",
        f"{ALL}\ncomplete: {{until: {{coverage: 0.5}}}}",
        "complete.until: would complete the request before its synthesis",
    ),
    (
        "{synthesize: {worker: w, min_time: 1ms}}",
        f"{ALL}\ncomplete: {{until: [all, first]}}",
        "complete.until[1]: no effect: the request waits for its synthesis",
    ),
    ("{synthesize: {worker: w, min_time: 980ms}}", ALL, "budget.latency: the min_time of a → synthesize adds up to 980ms"),
]


@pytest.mark.parametrize(("merge", "rest", "message"), WRONG)
def test_what_cannot_work_is_said_once(wrong: Wrong, merge: str, rest: str, message: str) -> None:
    """At the key that is wrong."""
    (said,) = told(wrong, merge, rest)
    assert said.startswith(f"plans.p.{message}")
