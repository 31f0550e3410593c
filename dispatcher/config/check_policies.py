"""What the parts of a policy say about each other and about branches: bounds upside down, protection that could never act."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from dispatcher.config.parse import Parsed
from dispatcher.config.placing import instead, placed
from dispatcher.config.policies import Policies, known_names
from dispatcher.config.problems import Path, listed, near
from dispatcher.config.quantities import show_duration
from dispatcher.config.shape import FileShape
from dispatcher.config.shape_branches import BranchShape, FallbackShape
from dispatcher.config.shape_policies import PolicyShape
from dispatcher.config.shape_types import Section
from dispatcher.model.policy import Policy


class _Use(NamedTuple):
    """A branch, or a fallback, whose worker has a policy. `time` in ns: the most that it can take; None = nobody says."""

    path: Path
    branch: BranchShape | FallbackShape
    time: int | None


def check_policies(shape: FileShape, policies: Policies, parsed: Parsed) -> None:
    """Add to `parsed.problems` what does not fit together within policies, and between them and branches."""
    check_policy_name(policies.default, ("default_policy",), parsed)
    for name, said in shape.policies.items():
        if not _any_cut(policies.lineages[name], parsed):
            _upside_down(said, policies.named[name], ("policies", name), parsed)
            _idle(said, policies.named[name], ("policies", name), parsed)
    for name, policy in policies.named.items():
        if not _any_cut(policies.lineages.get(name, ()), parsed):
            uses = list(_uses(name, shape, policies))
            _late_hedge(name, policy, uses, shape, parsed)
            _late_attempts(name, policy, uses, parsed)


def check_policy_name(name: str, path: Path, parsed: Parsed) -> None:
    """Complain about a policy that does not exist."""
    known = known_names(parsed)
    if name not in known:
        parsed.complain(path, f"unknown policy {name!r}{near(name, known)}", listed(known))


def rising(path: Path, section: Section, values: Mapping[str, tuple[float, str]], parsed: Parsed) -> None:
    """Complain where one of `values` is below the one before it. They are by field, each with its text.

    Wrong is the key that the file says: the other may be a default, or of a policy that is extended, which has its own.
    """
    keys = {name: field.alias or name for name, field in type(section).model_fields.items()}
    for low, high in pairwise(values):
        (lower, low_text), (higher, high_text) = values[low], values[high]
        if lower <= higher or section.model_fields_set.isdisjoint((low, high)):
            continue
        if low in section.model_fields_set:
            message, expected = f"{low_text} is above {keys[high]} {high_text}", f"at most {high_text}"
            parsed.complain((*path, keys[low]), message, expected)
        else:
            message, expected = f"{high_text} is below {keys[low]} {low_text}", f"at least {low_text}"
            parsed.complain((*path, keys[high]), message, expected)


def _any_cut(lineage: Iterable[str], parsed: Parsed) -> bool:
    """Whether something of these policies could not be read: what is in its place was not meant."""
    return any(cut[:2] == ("policies", name) for cut in parsed.cut for name in lineage) or ("policies",) in parsed.cut


def _times(**ns: int) -> dict[str, tuple[float, str]]:
    return {name: (value, show_duration(value)) for name, value in ns.items()}


def _upside_down(said: PolicyShape, policy: Policy, path: Path, parsed: Parsed) -> None:
    if said.retry is not None and policy.retry is not None:
        backoff = policy.retry.backoff
        times = _times(initial=backoff.initial, maximum=backoff.maximum)
        rising((*path, "retry", "backoff"), said.retry.backoff, times, parsed)
    if said.hedge is not None and policy.hedge is not None:
        times = _times(minimum=policy.hedge.minimum, maximum=policy.hedge.maximum)
        rising((*path, "hedge"), said.hedge, times, parsed)
    if said.breaker is not None and policy.breaker is not None:
        times = _times(initial=policy.breaker.open_initial, maximum=policy.breaker.open_max)
        rising((*path, "breaker", "open_for"), said.breaker.open_for, times, parsed)


def _idle(said: PolicyShape, policy: Policy, path: Path, parsed: Parsed) -> None:
    breaker, retry = policy.breaker, policy.retry
    if said.breaker is not None and breaker is not None and breaker.consecutive is None and breaker.rate_over is None:
        message = "can never act: neither consecutive_failures nor failure_rate opens it"
        parsed.complain((*path, "breaker"), message, "one of them, or breaker: null", warning=True, at_key=True)
    if said.retry is not None:
        parsed.no_duplicates([code.name for code in said.retry.codes], (*path, "retry", "codes"), "code")
    if said.retry is not None and retry is not None and retry.budget.ratio == retry.budget.min_per_second == 0:
        message = "can never act: the budget allows no further attempt"
        parsed.complain((*path, "retry", "budget"), message, "ratio or min_per_second above 0", warning=True, at_key=True)


def _uses(name: str, shape: FileShape, policies: Policies) -> Iterator[_Use]:
    """The branches of declared workers that have this policy."""
    for plan_name, plan in shape.plans.items():
        for branch_name, branch in placed(plan, ("plans", plan_name)).items():
            asked: list[tuple[str, Path, BranchShape | FallbackShape]] = [
                (branch.shape.worker or branch_name, branch.path, branch.shape)
            ]
            asked += [(one.shape.worker or "", one.path, one.shape) for one in instead(branch)]
            for worker_name, path, said in asked:
                worker = shape.workers.get(worker_name)
                if worker is not None and policies.named_by(worker) == name:
                    bounds = [bound for bound in (said.timeout, plan.budget.latency) if bound is not None]
                    yield _Use(path, said, min(bounds, default=None))


def _late_hedge(name: str, policy: Policy, uses: list[_Use], shape: FileShape, parsed: Parsed) -> None:
    if policy.hedge is None or not uses:
        return
    wait = policy.hedge.minimum if policy.hedge.delay is None else policy.hedge.delay
    times = [use.time for use in uses if use.time is not None]
    if len(times) < len(uses) or max(times) > wait:
        return
    key = "min" if policy.hedge.delay is None else "after"
    path: Path = ("policies", name, "hedge", key)
    if name not in shape.policies:
        path = next(
            (("workers", w, "policy") for w, worker in shape.workers.items() if worker.policy == name), ("default_policy",)
        )
    longest = show_duration(max(times))
    message = f"the hedge can never act: it waits {show_duration(wait)}, and no branch that has it takes longer than {longest}"
    parsed.complain(path, message, f"{key} < {longest}", warning=True)


def _late_attempts(name: str, policy: Policy, uses: list[_Use], parsed: Parsed) -> None:
    limit = None if policy.retry is None else policy.retry.per_try_timeout
    if limit is None:
        return
    for use in uses:
        if use.branch.timeout is not None and use.branch.timeout <= limit:
            timeout = show_duration(use.branch.timeout)
            message = (
                f"{timeout} ends the branch before per_try_timeout {show_duration(limit)} of policy {name} ends an attempt"
            )
            parsed.complain((*use.path, "timeout"), message, f"> {show_duration(limit)}", warning=True)
