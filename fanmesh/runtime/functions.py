"""`module:function` → the function that a `custom` merge calls.

Only names from a process's own configuration or command line come here, never one that came over the network.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from fanmesh.model.merge import MergeFunction, MergeSpec

CUSTOM = "custom"


class FunctionError(ValueError):
    """There is no such function, for a reason. `path`: of the name, within the merge's options."""

    path = ("call",)

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def function(name: str) -> MergeFunction:
    """Import it, with the current directory first. Raises FunctionError, whatever happens during the import."""
    module, colon, attribute = name.partition(":")
    if not module or not colon or not attribute:
        raise FunctionError(f"{name!r} names no function; write module:function, as in shop.merging:cheapest")
    if (here := str(Path.cwd())) not in sys.path[:1]:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # an author's module may raise anything
        raise FunctionError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise FunctionError(f"{name} is of type {type(found).__name__}, and no function")
    return found  # type: ignore[no-any-return]  # what it returns is looked at when it is called


def resolve(spec: MergeSpec) -> MergeSpec:
    """The spec with its function, if it names one. Raises FunctionError."""
    name = called(spec)
    return spec if name is None else replace(spec, function=function(name))


def called(spec: MergeSpec) -> str | None:
    """The name of the function that a spec names, if it names one."""
    name = spec.options.get("call") if spec.kind == CUSTOM and isinstance(spec.options, dict) else None
    return name if isinstance(name, str) else None


def functions(names: Iterable[str]) -> dict[str, MergeFunction]:
    """Each of them by its name. Raises FunctionError."""
    return {name: function(name) for name in names}
