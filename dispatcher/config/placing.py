"""The branches of a plan, whichever way they are written: under `branches`, in `stages`, or as the steps of a `cascade`.

The last two are sugar, and end here, as does a merge that is one more branch (`synthesize`): what follows sees branches that
wait for each other. Each keeps the path at which it is written, so that every message about it points there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dispatcher.config.parse import Parsed
from dispatcher.config.problems import Path
from dispatcher.config.shape import PlanShape
from dispatcher.config.shape_branches import BranchShape, FallbackShape, SynthesisShape

SYNTHESIS: Final = "synthesize"
"""The name of the branch that a merge of that name adds to its plan."""


class Stop(NamedTuple):
    """An earlier step of a cascade. `source` None: any answer of it is good enough. `path`: where its `stop_if` stands."""

    branch: str
    source: str | None
    path: Path


class Placed(NamedTuple):
    """A branch, where it is written, the branches of the stage before it, and the steps before it.

    `gathers`: it is given what all others have answered.
    """

    shape: BranchShape
    path: Path
    after: frozenset[str] = frozenset()
    stops: tuple[Stop, ...] = ()
    gathers: bool = False


def placed(plan: PlanShape, path: Path) -> dict[str, Placed]:
    """The branches by name, in plan order; the first one of those with one name."""
    found = {name: Placed(shape, (*path, "branches", name)) for name, shape in (plan.branches or {}).items()}
    before: frozenset[str] = frozenset()
    for position, stage in enumerate(plan.stages or ()):
        for name, shape in stage.items():
            found.setdefault(name, Placed(shape, (*path, "stages", position, name), before))
        before = frozenset(stage) or before
    stops: tuple[Stop, ...] = ()
    for position, step in enumerate(plan.cascade or ()):
        where: Path = (*path, "cascade", position)
        found.setdefault(step.branch, Placed(step, where, stops=stops))
        stops = (*stops, Stop(step.branch, step.stop_if, (*where, "stop_if")))
    if isinstance(plan.merge, SynthesisShape):
        found.setdefault(SYNTHESIS, _gathering(plan.merge, (*path, "merge", SYNTHESIS)))
    return found


def _gathering(merge: SynthesisShape, path: Path) -> Placed:
    """The branch of a merge that is one: the last one. It is required, unless there is another merge for when it fails."""
    said = {name: getattr(merge.synthesize, name) for name in merge.synthesize.model_fields_set - {"otherwise"}}
    shape = BranchShape.model_construct(**said, required=merge.synthesize.otherwise is None)
    return Placed(shape, path, gathers=True)


class Instead(NamedTuple):
    """A fallback, and where it is written."""

    shape: FallbackShape
    path: Path


def instead(branch: Placed) -> list[Instead]:
    """The fallbacks of a branch in the order in which they are asked."""
    found: list[Instead] = []
    shape, path = branch.shape.fallback, branch.path
    while shape is not None:
        path = (*path, "fallback")
        found.append(Instead(shape, path))
        shape = shape.fallback
    return found


def workers_of(name: str, branch: Placed) -> set[str]:
    """The workers that may be called for a branch."""
    return {branch.shape.worker or name, *(one.shape.worker for one in instead(branch) if one.shape.worker)}


def named(path: Path, parsed: Parsed) -> list[str]:
    """The names of a plan's branches as they are written, sound or not."""
    names = list(parsed.names(*path, "branches"))
    stages, cascade = parsed.at(*path, "stages"), parsed.at(*path, "cascade")
    if isinstance(stages, list):
        names += [name for stage in stages if isinstance(stage, dict) for name in stage]
    if isinstance(cascade, list):
        names += [str(step["branch"]) for step in cascade if isinstance(step, dict) and "branch" in step]
    return [*names, *(name for name in parsed.names(*path, "merge") if name == SYNTHESIS)]
