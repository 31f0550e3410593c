"""The policies of a file, with what they extend filled in.

A policy is laid over the one that it extends: what it says replaces, key by key, what stands there. That is done with frozen
values and not with the text, because a default of a section must not overwrite what the extended policy says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dispatcher.config.parse import Parsed
from dispatcher.config.problems import listed, near
from dispatcher.config.shape import FileShape, WorkerShape
from dispatcher.config.shape_policies import BreakerShape, HedgeShape, PolicyShape, RetryShape
from dispatcher.config.shape_types import Section
from dispatcher.model.policy import BUILT_IN, NONE, Balance, BreakerRule, Hedge, Policy, Retry


@dataclass(frozen=True, slots=True)
class Policies:
    """Every policy there is, by name, built-in ones included. `default`: the one of workers that name none.

    `lineages`: each policy of the file with those that it extends within the file, itself first.
    """

    named: Mapping[str, Policy]
    lineages: Mapping[str, tuple[str, ...]]
    default: str

    def of_local(self) -> Policy:
        """The policy of a worker that the file does not mention."""
        return self.named.get(self.default, NONE)

    def named_by(self, worker: WorkerShape) -> str:
        """The name of a worker's policy; it may be unknown."""
        return worker.policy or self.default

    def of(self, worker: WorkerShape) -> Policy:
        """The policy of a worker. A write is not hedged unless it may be made twice."""
        policy = self.named.get(self.named_by(worker), NONE)
        return replace(policy, hedge=None) if policy.hedge is not None and not may_repeat(worker) else policy


def may_repeat(worker: WorkerShape) -> bool:
    """Whether a call that was sent may be made again: what Worker.repeatable says of the built one."""
    return worker.idempotent or worker.effect == "read"


def resolve(parsed: Parsed) -> Policies:
    """All policies. Unknown names and cycles in `extends` are added to `parsed.problems`."""
    shape = parsed.shape
    if shape is None:
        return Policies(BUILT_IN, {}, NONE.name)
    named, lineages = dict(BUILT_IN), {}
    for name in shape.policies:
        lineages[name], base = _lineage(name, shape, parsed)
        policy = base
        for member in reversed(lineages[name]):
            policy = _laid_over(policy, shape.policies[member])
        named[name] = replace(policy, name=name)
    return Policies(named, lineages, shape.default_policy)


def _lineage(name: str, shape: FileShape, parsed: Parsed) -> tuple[tuple[str, ...], Policy]:
    """The policies of the file from `name` up, and what the last of them is laid over: a built-in policy, or nothing at all."""
    members = [name]
    while (parent := shape.policies[members[-1]].extends) is not None:
        own = parent == members[-1]
        if parent in BUILT_IN and (own or parent not in shape.policies):
            return tuple(members), BUILT_IN[parent]
        if parent in members:
            _complain_cycle(members[members.index(parent) :], shape, parsed)
            break
        if parent not in shape.policies:
            if members == [name]:
                _complain_unknown(name, parent, parsed)
            break
        members.append(parent)
    return tuple(members), Policy()


def _complain_cycle(cycle: list[str], shape: FileShape, parsed: Parsed) -> None:
    first = min(cycle, key=list(shape.policies).index)
    around = [*cycle[cycle.index(first) :], *cycle[: cycle.index(first)], first]
    problem = ("policies", first, "extends"), f"a cycle: {' → '.join(around)}", "a policy that does not lead back here"
    if not parsed.is_cut(problem[0]):
        parsed.complain(*problem)
        parsed.cut.add(problem[0])


def _complain_unknown(name: str, parent: str, parsed: Parsed) -> None:
    known = known_names(parsed)
    if parent not in known:
        message = f"unknown policy {parent!r}{near(parent, known)}"
        parsed.complain(("policies", name, "extends"), message, listed(known))


def known_names(parsed: Parsed) -> list[str]:
    """Names of policies, those of the file as they were written, sound or not."""
    return list(dict.fromkeys((*BUILT_IN, *parsed.names("policies"))))


def _laid_over(base: Policy, shape: PolicyShape) -> Policy:
    said = shape.model_fields_set
    return replace(
        base,
        retry=_retry(base.retry, shape.retry) if "retry" in said else base.retry,
        hedge=_hedge(base.hedge, shape.hedge) if "hedge" in said else base.hedge,
        breaker=_breaker(base.breaker, shape.breaker) if "breaker" in said else base.breaker,
        balance=Balance(shape.balance) if "balance" in said else base.balance,
    )


def _retry(base: Retry | None, shape: RetryShape | None) -> Retry | None:
    if shape is None:
        return None
    base = base or Retry()
    return replace(
        base,
        **_said(shape, "max_attempts", "on_timeout", "per_try_timeout"),
        codes=frozenset(shape.codes) if "codes" in shape.model_fields_set else base.codes,
        backoff=replace(base.backoff, **_said(shape.backoff, "initial", "maximum", "multiplier")),
        budget=replace(base.budget, **_said(shape.budget, "ratio", "min_per_second")),
    )


def _hedge(base: Hedge | None, shape: HedgeShape | None) -> Hedge | None:
    if shape is None:
        return None
    hedge = replace(base or Hedge(), **_said(shape, "minimum", "maximum", "max_extra_load", "min_samples"))
    if "after" not in shape.model_fields_set:
        return hedge
    if isinstance(shape.after, float):
        return replace(hedge, quantile=shape.after, delay=None)
    return replace(hedge, delay=shape.after)


def _breaker(base: BreakerRule | None, shape: BreakerShape | None) -> BreakerRule | None:
    if shape is None:
        return None
    base = base or BreakerRule()
    said = shape.model_fields_set
    open_for = shape.open_for
    breaker = replace(
        base,
        consecutive=shape.consecutive_failures if "consecutive_failures" in said else base.consecutive,
        open_initial=open_for.initial if "initial" in open_for.model_fields_set else base.open_initial,
        open_max=open_for.maximum if "maximum" in open_for.model_fields_set else base.open_max,
    )
    if "failure_rate" not in said:
        return breaker
    if (rate := shape.failure_rate) is None:
        return replace(breaker, rate_over=None)
    keep = breaker.rate_over is not None and "over" not in rate.model_fields_set
    return replace(breaker, rate_over=breaker.rate_over if keep else rate.over, **_said(rate, "window", "min_requests"))


def _said(shape: Section, *names: str) -> dict[str, Any]:
    """Those of the fields that stand in the file."""
    return {name: getattr(shape, name) for name in names if name in shape.model_fields_set}
