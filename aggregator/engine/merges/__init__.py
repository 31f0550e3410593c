"""The catalogue of merges: every file of this package is one.

Found by looking, not by a list, so that a new merge is one new file. A file says three things: KIND, its name in the
configuration; SCHEMA, the JSON Schema of its options; and `prepare(options, branches)`, which returns its Strategy or raises
MergeError with the path inside the options and what would be right there. One that says TAKES_FUNCTION is also given the
function of the spec, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from aggregator.engine.merging import Merge, Merged, MergeError, MergeInput, Strategy, one_of
from fanmesh.model.merge import MergeSpec
from fanmesh.model.values import JsonValue

__all__ = ["Merge", "MergeError", "MergeInput", "Merged", "Strategy", "compile_merge", "merge_schema"]


@dataclass(frozen=True, slots=True)
class _Kind:
    prepare: Callable[..., Strategy]
    schema: dict[str, JsonValue]
    takes_function: bool


@cache
def _catalogue() -> dict[str, _Kind]:
    modules = (import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__))
    return {module.KIND: _Kind(module.prepare, module.SCHEMA, getattr(module, "TAKES_FUNCTION", False)) for module in modules}


_MEMO_SIZE: Final = 256
_memo: dict[Hashable, Merge] = {}


def compile_merge(spec: MergeSpec, branches: Sequence[str]) -> Merge:
    """The merge that `spec` asks for, for branches in plan order.

    Raises MergeError: an unknown kind, or options that the kind does not understand. Remembered, since every request of a
    plan asks for the same one; by options to the letter, for a function may tell apart what JSON does not: 1 and 1.0.
    """
    order = tuple(branches)
    key = spec.kind, repr(spec.options), order, spec.function
    merge = _memo.get(key)
    if merge is None:
        kinds = _catalogue()
        name = one_of(spec.kind, tuple(kinds), "merge", ())
        kind = kinds[name]
        strategy = (
            kind.prepare(spec.options, order, spec.function) if kind.takes_function else kind.prepare(spec.options, order)
        )
        merge = Merge(name, strategy, {branch: at for at, branch in enumerate(order)})
        if len(_memo) >= _MEMO_SIZE:
            _memo.clear()
        _memo[key] = merge
    return merge


def merge_schema() -> dict[str, JsonValue]:
    """JSON Schema of the `merge:` key: a name, or one name with its options."""
    kinds = _catalogue()
    by_name: JsonValue = {"type": "string", "enum": [name for name, kind in kinds.items() if "required" not in kind.schema]}
    with_options: JsonValue = {
        "type": "object",
        "properties": {name: kind.schema for name, kind in kinds.items()},
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }
    return {"description": "How results become one.", "default": "collect", "anyOf": [by_name, with_options]}
