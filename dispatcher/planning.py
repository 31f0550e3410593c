"""Plans written in Python: they become the mapping that YAML would, and pass the same checks with the same messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch. The fields are those of the configuration; times are texts such as "300ms"; None = not said."""

    worker: str | None = None
    required: bool | None = None
    weight: float | None = None
    soft_timeout: str | None = None
    timeout: str | None = None
    sla: str | None = None
    if_missing: Any = None
    condition: str | None = None
    input: Any = None
    output: Any = None
    min_time: str | None = None
    for_each: Any = None
    allow_partial_input: bool | None = None
    on_stream_failure: str | None = None
    cache: Mapping[str, Any] | None = None
    fallback: Mapping[str, Any] | None = None

    def mapping(self) -> dict[str, Any]:
        """As it would stand in YAML."""
        said = {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}
        if "condition" in said:
            said["if"] = said.pop("condition")
        return said


@dataclass(frozen=True, slots=True)
class Step(Branch):
    """One step of a cascade. `stop_if`: its answer is good enough if this holds; any answer is, if None."""

    stop_if: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan: its branches by id, and what the configuration's `complete`, `accept` and `merge` say.

    Instead of `branches`, either `stages`, each of which starts when the one before has ended, or a `cascade`: steps in order,
    each of which runs if none before it was good enough.
    """

    name: str
    branches: Mapping[str, Branch] = field(default_factory=dict)
    latency: str | None = None
    merge_reserve: str | None = None
    complete: Mapping[str, Any] | None = None
    accept: Mapping[str, Any] | None = None
    merge: Any = None
    on_branch_failure: str | None = None
    stages: Sequence[Mapping[str, Branch]] | None = None
    cascade: Mapping[str, Step] | None = None

    def mapping(self) -> dict[str, Any]:
        """As it would stand in YAML."""
        said: dict[str, Any] = {}
        if self.branches or (self.stages is None and self.cascade is None):
            said["branches"] = _mappings(self.branches)
        if self.stages is not None:
            said["stages"] = [_mappings(stage) for stage in self.stages]
        if self.cascade is not None:
            said["cascade"] = [{"branch": name, **step.mapping()} for name, step in self.cascade.items()]
        if self.latency is not None:
            said["budget"] = {"latency": self.latency}
        for name in ("merge_reserve", "complete", "accept", "merge", "on_branch_failure"):
            if (value := getattr(self, name)) is not None:
                said[name] = value
        return said


def _mappings(branches: Mapping[str, Branch]) -> dict[str, Any]:
    return {name: branch.mapping() for name, branch in branches.items()}


def configuration(
    plans: Collection[Plan], local: Collection[str], streaming: Collection[str], policy: str = "standard"
) -> dict[str, Any]:
    """The whole configuration of an engine whose workers are all in this process. `policy`: the name of a built-in one."""
    return {
        "version": 1,
        "default_policy": policy,
        "workers": {name: {"effect": "read", "stream": name in streaming} for name in local},
        "plans": {plan.name: plan.mapping() for plan in plans},
    }
