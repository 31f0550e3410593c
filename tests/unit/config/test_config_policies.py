"""Policies as they are written, and what they come to once they are laid over what they extend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dispatcher.config import Config
from dispatcher.model.policy import (
    BUILT_IN,
    HEDGED,
    NONE,
    STANDARD,
    Backoff,
    Balance,
    BreakerRule,
    BudgetRule,
    Hedge,
    Policy,
    Retry,
)
from fanmesh.model.fault import Code
from fanmesh.model.times import MS, SECOND

Load = Callable[..., Config]


def policy_of(load: Load, policies: str, name: str = "a") -> Policy:
    """What a worker has that names the policy `name` of such `policies`."""
    worker = f"workers:\n  w: {{target: 'w:1', effect: read, policy: {name}}}"
    text = f"version: 1\npolicies: {{{policies}}}\n{worker}\nplans: {{p: {{branches: {{w: {{}}}}}}}}\n"
    return load(text=text).catalogue.workers["w"].policy


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_policies_need_not_be_written(load: Load, name: str) -> None:
    """`none`, `standard` and `hedged` are there without a word."""
    assert policy_of(load, "", name) == BUILT_IN[name]


@pytest.mark.parametrize("name", BUILT_IN)
def test_extending_without_a_change_changes_the_name_only(load: Load, name: str) -> None:
    """`extends` takes over everything, the balance too."""
    assert policy_of(load, f"a: {{extends: {name}}}") == replace(BUILT_IN[name], name="a")


def test_a_policy_that_extends_nothing_has_only_what_it_says(load: Load) -> None:
    """Sections that are not there are off."""
    assert policy_of(load, "a: {}") == Policy("a", None, None, None, Balance.P2C_EWMA)
    assert policy_of(load, "a: {hedge: {}}") == Policy("a", None, Hedge(), None)


def test_an_empty_section_is_all_defaults(load: Load) -> None:
    """They are those of the built-in policies."""
    assert policy_of(load, "a: {retry: {}, hedge: {}, breaker: {}}") == replace(HEDGED, name="a")
    nested = "a: {retry: {backoff: {}, budget: {}}, hedge: {}, breaker: {failure_rate: {}, open_for: {}}}"
    assert policy_of(load, nested) == replace(HEDGED, name="a")


EVERYTHING = """a: {
  retry: {max_attempts: 4, codes: [INTERNAL, ABORTED], on_timeout: false, per_try_timeout: 70ms,
    backoff: {initial: 1ms, max: 2s, multiplier: 1.5, jitter: full}, budget: {ratio: 0.3, min_per_second: 2}},
  hedge: {after: p99.9, min: 6ms, max: 3s, max_extra_load: 0.5, min_samples: 7},
  breaker: {consecutive_failures: 6, failure_rate: {over: 0.4, window: 11s, min_requests: 21},
    open_for: {initial: 2s, max: 50s}},
  balance: round_robin}"""

EVERYTHING_MEANT = Policy(
    "a",
    Retry(4, frozenset({Code.INTERNAL, Code.ABORTED}), False, 70 * MS, Backoff(MS, 2 * SECOND, 1.5), BudgetRule(0.3, 2.0)),
    Hedge(0.999, None, 6 * MS, 3 * SECOND, 0.5, 7),
    BreakerRule(6, 0.4, 11 * SECOND, 21, 2 * SECOND, 50 * SECOND),
    Balance.ROUND_ROBIN,
)


def test_every_key_reaches_its_place(load: Load) -> None:
    """Each key, set to something other than its default."""
    assert policy_of(load, EVERYTHING) == EVERYTHING_MEANT


RETRY, HEDGE, BREAKER = EVERYTHING_MEANT.retry, EVERYTHING_MEANT.hedge, EVERYTHING_MEANT.breaker
assert RETRY is not None
assert HEDGE is not None
assert BREAKER is not None


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ("retry: null", {"retry": None}),
        ("hedge: null", {"hedge": None}),
        ("breaker: null", {"breaker": None}),
        ("balance: p2c_ewma", {"balance": Balance.P2C_EWMA}),
        ("retry: {}", {}),
        ("retry: {max_attempts: 9}", {"retry": replace(RETRY, max_attempts=9)}),
        ("retry: {codes: [UNKNOWN]}", {"retry": replace(RETRY, codes=frozenset({Code.UNKNOWN}))}),
        ("retry: {codes: []}", {"retry": replace(RETRY, codes=frozenset())}),
        ("retry: {on_timeout: true}", {"retry": replace(RETRY, on_timeout=True)}),
        ("retry: {per_try_timeout: null}", {"retry": replace(RETRY, per_try_timeout=None)}),
        ("retry: {backoff: {initial: 9ms}}", {"retry": replace(RETRY, backoff=Backoff(9 * MS, 2 * SECOND, 1.5))}),
        ("retry: {backoff: {max: 9s}}", {"retry": replace(RETRY, backoff=Backoff(MS, 9 * SECOND, 1.5))}),
        ("retry: {backoff: {multiplier: 2}}", {"retry": replace(RETRY, backoff=Backoff(MS, 2 * SECOND, 2.0))}),
        ("retry: {budget: {ratio: 0.2}}", {"retry": replace(RETRY, budget=BudgetRule(0.2, 2.0))}),
        ("retry: {budget: {min_per_second: 1}}", {"retry": replace(RETRY, budget=BudgetRule(0.3, 1.0))}),
        ("hedge: {after: p95}", {"hedge": replace(HEDGE, quantile=0.95)}),
        ("hedge: {after: 20ms}", {"hedge": replace(HEDGE, delay=20 * MS)}),
        ("hedge: {min: 5ms}", {"hedge": replace(HEDGE, minimum=5 * MS)}),
        ("hedge: {max: 9s}", {"hedge": replace(HEDGE, maximum=9 * SECOND)}),
        ("hedge: {max_extra_load: 1}", {"hedge": replace(HEDGE, max_extra_load=1.0)}),
        ("hedge: {min_samples: 1}", {"hedge": replace(HEDGE, min_samples=1)}),
        ("breaker: {consecutive_failures: null}", {"breaker": replace(BREAKER, consecutive=None)}),
        ("breaker: {failure_rate: null}", {"breaker": replace(BREAKER, rate_over=None)}),
        ("breaker: {failure_rate: {over: 0.5}}", {"breaker": replace(BREAKER, rate_over=0.5)}),
        ("breaker: {failure_rate: {window: 9s}}", {"breaker": replace(BREAKER, window=9 * SECOND)}),
        ("breaker: {failure_rate: {min_requests: 20}}", {"breaker": replace(BREAKER, min_requests=20)}),
        ("breaker: {open_for: {initial: 1s}}", {"breaker": replace(BREAKER, open_initial=SECOND)}),
        ("breaker: {open_for: {max: 60s}}", {"breaker": replace(BREAKER, open_max=60 * SECOND)}),
    ],
)
def test_what_is_said_replaces_key_by_key(load: Load, said: str, changed: dict[str, object]) -> None:
    """All else stays as in the policy that is extended, also where the default is another; null switches off."""
    expected = replace(EVERYTHING_MEANT, name="b", **changed)  # type: ignore[arg-type]
    assert policy_of(load, f"{EVERYTHING}, b: {{extends: a, {said}}}", "b") == expected


def test_a_quantile_takes_the_place_of_a_fixed_wait(load: Load) -> None:
    """A hedge has one of the two."""
    policy = policy_of(load, "b: {hedge: {after: 20ms}}, a: {extends: b, hedge: {after: p90}}")
    assert policy.hedge == Hedge(quantile=0.9)


def test_what_was_off_is_switched_on_with_its_defaults(load: Load) -> None:
    """A section, and the failure rate within one."""
    assert policy_of(load, "a: {extends: none, retry: {}}") == Policy("a", Retry(), balance=Balance.ROUND_ROBIN)
    off = "b: {breaker: {failure_rate: null}}"
    assert policy_of(load, f"{off}, a: {{extends: b, breaker: {{failure_rate: {{window: 9s}}}}}}").breaker == BreakerRule(
        window=9 * SECOND
    )


def test_policies_may_stand_in_any_order_and_extend_along_a_chain(load: Load) -> None:
    """The nearest that says a key wins."""
    chain = "a: {extends: b, retry: {max_attempts: 4}}, b: {extends: c, breaker: null}, c: {extends: hedged, hedge: {min: 9ms}}"
    expected = Policy("a", Retry(max_attempts=4), Hedge(minimum=9 * MS), None)
    assert policy_of(load, chain) == expected


def test_a_built_in_policy_may_be_replaced(load: Load) -> None:
    """By one that is new, or that changes the built-in one by extending its own name; others of the file extend the new one."""
    assert policy_of(load, "standard: {}", "standard") == Policy("standard")
    changed = replace(STANDARD, retry=Retry(max_attempts=2))
    text = "standard: {extends: standard, retry: {max_attempts: 2}}"
    assert policy_of(load, text, "standard") == changed
    assert policy_of(load, f"{text}, a: {{extends: standard}}") == replace(changed, name="a")
    assert policy_of(load, text, "hedged") == HEDGED


BASE = """\
version: 1
workers:
  own: {target: "own:1", effect: read, policy: none}
  w: {target: "w:1", effect: write}
plans: {p: {branches: {w: {}, own: {}}}}
"""


def test_a_worker_that_names_no_policy_has_the_default_one(load: Load) -> None:
    """`standard`, unless the file says another."""
    workers = load(text=BASE).catalogue.workers
    assert (workers["own"].policy, workers["w"].policy) == (NONE, STANDARD)
    workers = load("version: 1", "version: 1\ndefault_policy: a\npolicies: {a: {hedge: {}}}", text=BASE).catalogue.workers
    assert (workers["own"].policy, workers["w"].policy) == (NONE, Policy("a"))


def test_a_write_is_not_hedged_by_default(load: Load) -> None:
    """The hedge alone is off, with a warning; a write that may be made twice keeps it, without one."""
    config = load("version: 1", "version: 1\ndefault_policy: hedged", text=BASE)
    assert config.catalogue.workers["w"].policy == replace(STANDARD, name="hedged")
    assert [problem.path for problem in config.warnings] == ["workers.w"]
    config = load("version: 1", "version: 1\ndefault_policy: hedged", text=BASE.replace("write", "write, idempotent: true"))
    assert (config.catalogue.workers["w"].policy, config.warnings) == (HEDGED, ())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("effect: write}", "effect: write, policy: standard}"),
        ("effect: write}", "effect: write, policy: a}"),
        ("effect: write}", "effect: write, idempotent: true, policy: hedged}"),
        ("effect: write}", "effect: write, idempotent: false}"),
        ('target: "w:1", effect: write', 'endpoints: ["w:1", "w:2"], effect: read, policy: hedged'),
        ('target: "w:1", effect: write', 'endpoints: opaque, target: "w:1", effect: read, policy: hedged'),
        ("version: 1", "version: 1\ndefault_policy: a"),
        ("version: 1", "version: 1\ndefault_policy: c"),
    ],
)
def test_what_may_be_meant_is_no_warning(load: Load, old: str, new: str) -> None:
    """Defaults that do not apply to a worker are not worth a word, nor is a policy that nobody has."""
    retry = "a: {extends: standard, retry: {max_attempts: 2}}, c: {retry: {codes: [ABORTED]}}"
    text = f"{BASE}policies: {{{retry}, b: {{hedge: {{min: 1s}}}}}}\n"
    assert load(old, new, text=text).warnings == ()


def test_a_default_hedge_that_some_workers_cannot_have_is_no_warning(load: Load) -> None:
    """Whoever hedges by default does not mean every single worker."""
    text = BASE.replace('target: "w:1", effect: write', 'endpoints: ["w:1"], effect: read')
    assert load("version: 1", "version: 1\ndefault_policy: hedged", text=text).warnings == ()


@pytest.mark.parametrize(
    ("timeouts", "warned"),
    [
        (("timeout: 300ms", "timeout: 200ms"), True),
        (("timeout: 301ms", "timeout: 200ms"), False),
        (("timeout: 300ms", "soft_timeout: 10ms"), False),
    ],
)
def test_a_hedge_must_have_time_in_some_branch(load: Load, timeouts: tuple[str, str], warned: bool) -> None:  # noqa: FBT001
    """It is idle if no branch with its policy can last longer than its wait; one that may is enough, or has no end."""
    first, second = timeouts
    text = f"""\
version: 1
default_policy: a
policies: {{a: {{hedge: {{min: 300ms}}}}}}
workers: {{w: {{target: "w:1", effect: read}}}}
plans: {{p: {{branches: {{w: {{{first}}}}}}}, q: {{branches: {{w: {{{second}}}}}}}}}
"""
    assert [problem.path for problem in load(text=text).warnings] == (["policies.a.hedge.min"] if warned else [])


def test_a_built_in_hedge_without_time_is_reported_where_it_was_chosen(load: Load) -> None:
    """At the worker, or at the default; the plan's latency ends a branch, too."""
    text = BASE.replace("{branches:", "{budget: {latency: 5ms}, merge_reserve: 0, branches:").replace("write", "read")
    assert [problem.path for problem in load("policy: none", "policy: hedged", text=text).warnings] == ["workers.own.policy"]
    config = load("version: 1", "version: 1\ndefault_policy: hedged", text=text)
    assert [problem.path for problem in config.warnings] == ["default_policy"]
