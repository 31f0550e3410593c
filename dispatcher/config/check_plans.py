"""What the parts of a plan say about each other: times, floors and completion rules that cannot be meant as written."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from dispatcher.config.check_fallbacks import check_fallbacks
from dispatcher.config.check_synthesis import check_synthesis
from dispatcher.config.parse import Parsed
from dispatcher.config.placing import named, placed
from dispatcher.config.problems import Path, listed, near
from dispatcher.config.quantities import show_duration
from dispatcher.config.shape import PlanShape
from dispatcher.config.shape_branches import BranchShape, SynthesisShape
from dispatcher.config.shape_completion import CountShape, CoverageShape, PredicateShape, QuietShape, Rule

WAYS: Final = ("branches", "stages", "cascade")


MANY: Final = 1 << 40
"""As many answers as a plan may give that calls a branch for each item of a list."""


def check_plan(plan: PlanShape, path: Path, workers: Collection[str], parsed: Parsed) -> None:
    """Add to `parsed.problems` what does not fit together within the plan at `path`."""
    _ways(path, parsed)
    branches = placed(plan, path)
    for name, branch in branches.items():
        _branch(name, branch.shape, branch.path, plan, workers, parsed)
        check_fallbacks(name, branch, plan, list(branches), workers, parsed)
    _times(plan, path, parsed)
    if isinstance(plan.merge, SynthesisShape):
        check_synthesis(plan.merge.synthesize, until_rules(plan), path, parsed)
    if branches:
        _rules(plan, path, parsed)


def _ways(path: Path, parsed: Parsed) -> None:
    """Branches are written in one of three ways, and each name once."""
    written = [way for way in WAYS if way in parsed.names(*path)]
    if not written:
        parsed.complain((*path, "branches"), "is missing: what is called, by name, in plan order")
    for way in written[1:]:
        parsed.complain((*path, way), f"stands beside {written[0]}", f"one of {', '.join(WAYS)}", at_key=True)
    names = named(path, parsed)
    if written and not names:
        parsed.complain((*path, written[0]), "there is no branch", "at least one")
    for name in sorted({name for name in names if names.count(name) > 1}):
        if written[:1] != ["branches"]:
            parsed.complain((*path, written[0]), f"the branch {name} is given twice", "a name of its own, and worker beside it")


def _branch(name: str, branch: BranchShape, path: Path, plan: PlanShape, workers: Collection[str], parsed: Parsed) -> None:
    if (worker := branch.worker or name) not in workers:
        where, at_key = ((*path, "worker"), False) if branch.worker else (path, True)
        parsed.complain(where, f"unknown worker {worker!r}{near(worker, workers)}", listed(workers), at_key=at_key)
    if branch.allow_partial_input and branch.input is None and branch.output is None:
        parsed.complain((*path, "allow_partial_input"), "no effect: this branch is fed by the request alone", warning=True)
    alone = branch.fallback is None  # otherwise the timeout is not of all that it does
    if branch.min_time is not None and branch.timeout is not None and branch.min_time > branch.timeout and alone:
        message = f"{show_duration(branch.min_time)} is longer than its timeout {show_duration(branch.timeout)}: it never runs"
        parsed.complain((*path, "min_time"), message, f"at most {show_duration(branch.timeout)}")
    soft, timeout, latency = branch.soft_timeout, branch.timeout, plan.budget.latency
    if soft is not None and timeout is not None and soft >= timeout and alone:
        parsed.complain(
            (*path, "timeout"),
            f"{show_duration(timeout)} is not longer than soft_timeout {show_duration(soft)}",
            f"> {show_duration(soft)}",
        )
    if timeout is not None and latency is not None and timeout > latency:
        message = f"{show_duration(timeout)} is longer than the plan's latency {show_duration(latency)}, which ends it earlier"
        parsed.complain((*path, "timeout"), message, f"at most {show_duration(latency)}", warning=True)
    if soft is not None and latency is not None and soft >= latency:
        message = f"{show_duration(soft)} is not shorter than the plan's latency {show_duration(latency)}, 0.7 of which applies"
        parsed.complain((*path, "soft_timeout"), message, f"< {show_duration(latency)}", warning=True)
    if soft is not None and branch.required:
        message = "no effect: a required branch is waited for until its hard timeout"
        parsed.complain((*path, "soft_timeout"), message, warning=True)


def _times(plan: PlanShape, path: Path, parsed: Parsed) -> None:
    soft, latency = plan.complete.soft_timeout, plan.budget.latency
    if soft is not None and latency is not None and soft >= latency:
        message = f"{show_duration(soft)} is not shorter than budget.latency {show_duration(latency)}"
        parsed.complain((*path, "complete", "soft_timeout"), message, f"< {show_duration(latency)}")
    grace = plan.complete.grace
    if grace.min > grace.max and not parsed.is_cut((*path, "complete", "grace", "max")):
        parsed.complain((*path, "complete", "grace", "min"), f"{grace.min} is above max {grace.max}", "min <= max")
    if grace.max > 0 and not any(isinstance(rule, CoverageShape) for rule in until_rules(plan)):
        message = "no effect: grace begins when `until: {coverage: x}` is met, and there is no such rule"
        parsed.complain((*path, "complete", "grace"), message, warning=True)


def _rules(plan: PlanShape, path: Path, parsed: Parsed) -> None:
    branches = len(named(path, parsed))
    if any(branch.shape.for_each is not None for branch in placed(plan, path).values()):
        branches = MANY
    if plan.accept.min_success > branches:
        message = f"{plan.accept.min_success} is more than the plan's branches"
        parsed.complain((*path, "accept", "min_success"), message, f"at most {branches}")
    asked = False
    for rule, where in until_places(plan, path):
        match rule:
            case CountShape() if rule.count > branches:
                parsed.complain((*where, "count"), f"{rule.count} is more than the plan's branches", f"at most {branches}")
            case PredicateShape():
                if asked:
                    parsed.complain(where, "a second predicate", "one, with || between what is enough")
                asked = True
                _within(rule.min_interval, plan, (*where, "min_interval"), parsed)
            case QuietShape():
                _within(rule.quiet, plan, (*where, "quiet"), parsed)
            case "required" if not _any_required(plan, path, parsed):
                parsed.complain(where, "no branch is required", "required: true at one branch, or another rule")


def _within(time: int, plan: PlanShape, path: Path, parsed: Parsed) -> None:
    """A time that the plan does not have is a rule that can never fire."""
    if (latency := plan.budget.latency) is not None and time >= latency:
        message = f"{show_duration(time)} is not shorter than budget.latency {show_duration(latency)}"
        parsed.complain(path, message, f"< {show_duration(latency)}")


def until_rules(plan: PlanShape) -> list[Rule]:
    """The rules of `until`, however many were written."""
    until = plan.complete.until
    return list(until) if isinstance(until, list) else [until]


def until_places(plan: PlanShape, path: Path) -> list[tuple[Rule, Path]]:
    """The rules of `until` of the plan at `path`, and where each of them stands."""
    where: Path = (*path, "complete", "until")
    if not isinstance(plan.complete.until, list):
        return [(plan.complete.until, where)]
    return [(rule, (*where, position)) for position, rule in enumerate(plan.complete.until)]


def _any_required(plan: PlanShape, path: Path, parsed: Parsed) -> bool:
    """Whether a branch is required, or may be where the text could not be read."""
    below = [(*path, way) for way in WAYS]
    broken = any(cut[: len(path) + 1] in below for cut in parsed.cut)
    return broken or any(branch.shape.required for branch in placed(plan, path).values())
