"""What is wrong with a fallback as it is written: nobody or several are asked, or there can never be time for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from dispatcher.config.parse import Parsed
from dispatcher.config.placing import Instead, Placed, instead
from dispatcher.config.problems import listed, near
from dispatcher.config.quantities import show_duration
from dispatcher.config.shape import PlanShape
from dispatcher.model.deadlines import MIN_ATTEMPT, divide

MAX_DEPTH: Final = 2
"""A branch asks its worker and at most so many others: each further one has less time, and hides more of what is broken."""

WAYS: Final = ("worker", "branch", "use")
ONLY_FOR_WORKERS: Final = ("input", "timeout", "min_time")


def check_fallbacks(
    name: str, branch: Placed, plan: PlanShape, branches: Collection[str], workers: Collection[str], parsed: Parsed
) -> None:
    """Add to `parsed.problems` what does not fit together in the fallbacks of the branch `name`."""
    found = instead(branch)
    for depth, one in enumerate(found):
        if depth == MAX_DEPTH:
            message = f"more than {MAX_DEPTH} fallbacks of one branch"
            parsed.complain(one.path, message, "a default (if_missing) as the last resort", at_key=True)
            break
        _one(name, one, branches, workers, parsed)
    if found:
        _time(branch, found[0], plan, parsed)


def _one(name: str, one: Instead, branches: Collection[str], workers: Collection[str], parsed: Parsed) -> None:
    shape, path = one
    said = shape.model_fields_set
    given = [way for way in WAYS if way in said]
    if not given and not any(parsed.is_cut((*path, way)) for way in WAYS):
        parsed.complain(path, "nobody is asked", "worker: w, branch: b or use: value", at_key=True)
    for way in given[1:]:
        parsed.complain((*path, way), f"stands beside {given[0]}", f"one of {', '.join(WAYS)}", at_key=True)
    if given[:1] == ["branch"]:
        others = [known for known in branches if known != name]
        if shape.branch == name:
            parsed.complain((*path, "branch"), "a branch cannot stand in for itself", listed(others))
        elif (other := shape.branch) is not None and other not in branches:
            message = f"unknown branch {other!r}{near(other, others)}"
            parsed.complain((*path, "branch"), message, listed(others))
    if (worker := shape.worker) is not None and worker not in workers:
        parsed.complain((*path, "worker"), f"unknown worker {worker!r}{near(worker, workers)}", listed(workers))
    idle = {"branch": ONLY_FOR_WORKERS, "use": (*ONLY_FOR_WORKERS, "output", "fallback")}.get((given or ["worker"])[0], ())
    for key in idle:
        if key in said:
            parsed.complain((*path, key), f"no effect beside {given[0]}", "no such key", at_key=True)


def _time(branch: Placed, first: Instead, plan: PlanShape, parsed: Parsed) -> None:
    """A worker that may take all of the time leaves its fallback none. Without a timeout, that is for faults only."""
    timeout, latency = branch.shape.timeout, plan.budget.latency
    if timeout is None or latency is None or timeout > latency:
        return
    stop, least = divide(None, latency, plan.merge_reserve).stop, max(first.shape.min_time or 0, MIN_ATTEMPT)
    if stop - timeout < least:
        message = f"{show_duration(timeout)} leaves no time for the fallback, which needs {show_duration(least)}"
        expected = f"at most {show_duration(max(0, stop - least))}"
        parsed.complain((*branch.path, "timeout"), message, expected, warning=True)
