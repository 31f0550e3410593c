"""Each mistake that is found at load, with its place, its words and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.config import Problem
from dispatcher.config.yaml12 import parse

Wrong = Callable[..., list[Problem]]

MISTAKES: dict[str, Any] = {}
for file in sorted(Path(__file__).parent.glob("mistakes*.yaml")):
    MISTAKES |= parse(file.read_text(), file.name).value  # type: ignore[operator]


@pytest.mark.parametrize("case", MISTAKES.values(), ids=MISTAKES)
def test_one_mistake_gives_one_message(wrong: Wrong, case: dict[str, str]) -> None:
    """A mistake is reported once, at its line and column, with its path and with what would be right."""
    assert [str(problem).removeprefix("f.yaml:") for problem in wrong(case["old"], case["new"])] == [case["says"]]


def test_the_base_is_sound(wrong: Wrong) -> None:
    """The configuration that the other tests bend has no problem of its own."""
    assert wrong() == []


def test_a_worker_that_no_plan_uses_is_a_warning(wrong: Wrong) -> None:
    """Declared but never used is suspicious and does no harm."""
    (problem,) = wrong("workers:", "workers:\n  fax: {target: 'fax:1', effect: read}")
    assert (problem.severity, str(problem)) == ("warning", "f.yaml:4:3 workers.fax: warning: no plan uses this worker")


def test_until_required_needs_a_required_branch(wrong: Wrong) -> None:
    """`until: required` without a required branch would complete before anything ran."""
    text = """\
version: 1
workers: {a: {target: "a:1", effect: read}}
plans: {p: {branches: {a: {}}, complete: {until: [required]}}}
"""
    (problem,) = wrong(text=text)
    assert (problem.path, problem.message) == ("plans.p.complete.until[0]", "no branch is required")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("version: 1\nworkers: {}\nplans: {}\n", ["there is no worker", "there is no plan"]),
        ("version: 1\nworkers: {a: {target: 'a:1', effect: read}}\nplans: {p: {branches: {}}}", ["there is no branch"]),
        ("", ["the configuration is empty"]),
        ("- 1\n", ["a list is no configuration"]),
        ("version: 1\n", ["is missing: the services that answer, by name", "is missing: what can be asked for, by name"]),
    ],
)
def test_empty_things_are_refused(wrong: Wrong, text: str, messages: list[str]) -> None:
    """Nothing to run is a mistake at load, not a request that fails later."""
    assert sorted(problem.message for problem in wrong(text=text)) == sorted(messages)


def test_all_problems_are_reported_at_once_and_in_order(wrong: Wrong) -> None:
    """Mistakes of every stage (text, keys, values, references, expressions, merges) come in one list, by line."""
    text = """\
version: 1
version: 1
attributes: [task]
workers:
  a: {target: nowhere, effect: read, colour: red}
plans:
  p:
    branches:
      a: {timeout: 300, if: attributes.tsak == "x"}
      b: {}
    merge: {deep_merge: {x: y}}
routes:
  - {plan: q}
"""
    places = [(problem.line, problem.path) for problem in wrong(text=text)]
    assert places == [
        (2, "version"),
        (5, "workers.a.target"),
        (5, "workers.a.colour"),
        (9, "plans.p.branches.a.timeout"),
        (9, "plans.p.branches.a.if"),
        (10, "plans.p.branches.b"),
        (11, "plans.p.merge.deep_merge.x"),
        (13, "routes[0].plan"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ("effect: read}", "effect: read, faults: {delay: {}}}", ["percent", "of"]),
        ("routes:", "server: {overload: {lag: {hedges: 3ms, optional: 2ms, reject: 1ms}}}\nroutes:", ["hedges", "optional"]),
        ("routes:", "policies: {a: {retry: 1}, b: {hedge: 1}, c: {extends: d}}\nroutes:", ["retry", "hedge", "extends"]),
    ],
)
def test_mistakes_beside_each_other_are_all_reported(wrong: Wrong, old: str, new: str, paths: list[str]) -> None:
    """One mistake does not hide another of the same section."""
    assert [problem.path.rpartition(".")[2] for problem in wrong(old, new)] == paths


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ('{target: "geo:50051", effect: read, attributes: [task]}', "3", "workers.geo"),
        ("attributes: [task, risk]", "attributes: [task, 3]", "attributes[1]"),
        ("phone: {required: true, timeout: 300ms}", "phone: 3", "plans.enrich.branches.phone"),
        ("geo: {soft_timeout: 200ms, timeout: 400ms}", "geo: []", "plans.enrich.branches.geo"),
        ("  enrich:", "  Enrich: {branches: {geo: {}}}\n  enrich:", "plans.Enrich"),
        ("- {plan: enrich}", "- enrich", "routes[0]"),
        ("version: 1", "version: 1\ndefault_policy: a\npolicies: {a: 3}", "policies.a"),
        ("version: 1", "version: 1\npolicies: {a: 3, b: {extends: a}}", "policies.a"),
        (
            "version: 1",
            "version: 1\npolicies: {a: {hedge: {max: 1}}, b: {extends: a, hedge: {min: 9s}}}",
            "policies.a.hedge.max",
        ),
        (
            "version: 1",
            "version: 1\npolicies: {a: {breaker: {open_for: {initial: 9h, max: 9}}}}",
            "policies.a.breaker.open_for.max",
        ),
        ("effect: read}", "effect: raed, policy: hedged, idempotent: true}", "workers.phone.effect"),
        ("effect: read}", "effect: write, policy: hedged, idempotent: 1}", "workers.phone.idempotent"),
        ("effect: read}", "effect: read, limit: {in_flight: x, queue: 1}}", "workers.phone.limit.in_flight"),
        ("routes:", "server: {overload: {lag: {hedges: 9s, reject: x}}}\nroutes:", "server.overload.lag.reject"),
    ],
)
def test_what_could_not_be_read_causes_no_further_complaints(wrong: Wrong, old: str, new: str, path: str) -> None:
    """A branch whose worker has another mistake does not also have an unknown worker."""
    assert [problem.path for problem in wrong(old, new)] == [path]


@pytest.mark.parametrize(
    ("policies", "path"),
    [
        ("a: {extends: b}, b: {extends: c}", "policies.b.extends"),
        ("a: {extends: b}, b: {extends: b}, c: {extends: a}", "policies.b.extends"),
        ("a: {hedge: {min: 3s}}, b: {extends: a, hedge: {min_samples: 9}}", "policies.a.hedge.min"),
        ("a: {retry: {backoff: {max: 0}}}, b: {extends: a, retry: {}}", "policies.a.retry.backoff.max"),
    ],
)
def test_a_mistake_is_not_reported_again_where_it_is_extended(wrong: Wrong, policies: str, path: str) -> None:
    """Only the policy that says it is wrong."""
    assert [problem.path for problem in wrong("routes:", f"policies: {{{policies}}}\nroutes:")] == [path]


def test_a_problem_without_a_text_has_no_line() -> None:
    """Configurations written in Python are reported by path alone."""
    assert str(Problem("configuration", 0, 0, "plans", "there is no plan", expected="at least one")) == (
        "configuration plans: there is no plan; expected at least one"
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("version: 1", "version: 1\nworker: {}", "worker: unknown key (did you mean 'workers'?)"),
        ("effect: read}", "effect: read, streams: true}", "workers.phone.streams: unknown key (did you mean 'stream'?)"),
        ("    budget:", "    merges: first\n    budget:", "plans.enrich.merges: unknown key (did you mean 'merge'?)"),
        ("latency: 1s", "latncy: 1s", "plans.enrich.budget.latncy: unknown key (did you mean 'latency'?)"),
        ("until: all", "untl: all", "plans.enrich.complete.untl: unknown key (did you mean 'until'?)"),
        ("latency: 1s", "LATENCY: 1s", "plans.enrich.budget.LATENCY: unknown key (did you mean 'latency'?)"),
        ("until: all", "grace: {maxi: 1}", "plans.enrich.complete.grace.maxi: unknown key (did you mean 'max'?)"),
        (
            "    complete:",
            "    accept: {success: 1}\n    complete:",
            "plans.enrich.accept.success: unknown key (did you mean 'min_success'?)",
        ),
        ("- {plan: enrich}", "- {plan: enrich, when: 'true'}", "routes[0].when: unknown key"),
        ("routes:", "server: {hm: 1}\nroutes:", "server.hm: unknown key"),
        (
            "effect: read}",
            "effect: read, faults: {delays: {}}}",
            "workers.phone.faults.delays: unknown key (did you mean 'delay'?)",
        ),
        (
            "effect: read}",
            "effect: read, limit: {rate: {per_second: 1, bursts: 2}}}",
            "workers.phone.limit.rate.bursts: unknown key (did you mean 'burst'?)",
        ),
        (
            "routes:",
            "policies: {a: {breaker: {open_for: {min: 1s}}}}\nroutes:",
            "policies.a.breaker.open_for.min: unknown key",
        ),
        ("routes:", "server: {idempotency: {tll: 1s}}\nroutes:", "server.idempotency.tll: unknown key (did you mean 'ttl'?)"),
        ("routes:", "server: {limits: {parts: 1MiB}}\nroutes:", "server.limits.parts: unknown key (did you mean 'part'?)"),
    ],
)
def test_unknown_keys_are_refused_in_every_section(wrong: Wrong, old: str, new: str, expected: str) -> None:
    """Nowhere is an unknown key ignored, and the keys of that section are named."""
    (problem,) = wrong(old, new)
    assert f"{problem.path}: {problem.message}" == expected
    assert problem.expected
