"""The merges there are, as the configuration needs them: given from outside, since they live in the aggregator.

`dispatcher.config` may not import a service; whoever puts the two together passes the catalogue in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from dispatcher.config.methods import DescribeMethod
from fanmesh.model.merge import MergeSpec
from fanmesh.model.values import Value


class CompiledMerge(Protocol):
    """A merge with its options, for the branches of one plan."""

    def accepts(self, branch: str, value: Value, /) -> str | None:
        """Why it cannot take that value from that branch; None = it can."""
        ...


CompileMerge: TypeAlias = Callable[[MergeSpec, Sequence[str]], CompiledMerge]
"""Raises ValueError for an unknown merge or options it does not understand. Its attributes `path`, keys within the options,
and `message` are used where it has them."""


ResolveMerge: TypeAlias = Callable[[MergeSpec], MergeSpec]
"""Puts the function into a spec that names one. Raises ValueError, as CompileMerge does."""


def without_functions(spec: MergeSpec) -> MergeSpec:
    """Whoever has no functions leaves a spec as it is."""
    return spec


class MergeCatalogue(NamedTuple):
    """`compile` makes a merge for branches in plan order; `schema` is the JSON Schema of the `merge` key.

    `describe` says what foreign methods take and return: that lives elsewhere too, and who passes in the one has the other.
    None = nobody can say, and they are taken as they are written.
    """

    compile: CompileMerge
    schema: Mapping[str, Any]
    resolve: ResolveMerge = without_functions
    describe: DescribeMethod | None = None
