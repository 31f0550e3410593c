"""`custom`: a Python function of the plan's author decides.

It is named in the configuration and handed in from outside: the engine imports nothing that a log names, for whoever may send
a log to an aggregator must not choose what runs there. So a process calls only what it was started with.

The function gets copies of the answers in plan order, and never learns who was faster. An exception, and a value that is no
JSON, end as this merge's error; they neither hang nor take the process down.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final

from aggregator.engine.jsons import copied
from aggregator.engine.merging import Merged, MergeError, MergeInput, Strategy, json_only
from aggregator.engine.rules import LEAST, MOST
from fanmesh.model.merge import Answer, Conflict, MergeFunction
from fanmesh.model.values import JsonValue, Opaque

KIND: Final = "custom"
SCHEMA: Final[dict[str, JsonValue]] = {
    "description": "A Python function, `module:function`, which gets the answers in plan order and the options.",
    "type": "object",
    "properties": {
        "call": {"description": "The function.", "type": "string", "pattern": "^[^:]+:[^:]+$", "x-type": "module:function"},
        "options": {"description": "Handed to it as they are."},
    },
    "required": ["call"],
    "additionalProperties": False,
}
TAKES_FUNCTION: Final = True
DEEPEST: Final = 100
"""Of a value's nesting, as everywhere in Fanmesh."""


def prepare(options: JsonValue, _branches: Sequence[str], function: MergeFunction | None = None) -> Strategy:
    """Options: {call: module:function, options: anything}."""
    name = options.get("call") if isinstance(options, dict) else None
    if not isinstance(options, dict) or not isinstance(name, str):
        raise MergeError((), "expected {call: module:function}, and perhaps options")
    for key in options:
        if key not in {"call", "options"}:
            raise MergeError((key,), "no such option; there are call, options")
    if function is None:
        raise MergeError(("call",), f"this process was started without the function {name}")
    given = options.get("options")
    return Strategy(lambda inputs: _called(function, name, inputs, given), json_only)


def _called(function: MergeFunction, name: str, inputs: Sequence[MergeInput], options: JsonValue) -> Merged:
    answers = [
        Answer(one.branch, None if isinstance(one.value, Opaque) else copied(one.value), one.confidence, one.defaulted)
        for one in inputs
    ]
    try:
        said = function(answers, copied(options))
    except Exception as error:  # noqa: BLE001  (whatever an author's function raises is its answer)
        return Merged(None, error=f"{name} failed: {type(error).__name__}: {error}")
    value: Any
    conflicts: Any
    value, conflicts = said if isinstance(said, tuple) and len(said) == 2 else (said, ())
    if why := _misfit(value) or _misfit_conflicts(conflicts):
        return Merged(None, error=f"{name} {why}")
    found = tuple(conflict._replace(values=copied(conflict.values)) for conflict in conflicts)
    return Merged(copied(value), found, tuple(one.branch for one in inputs))


def _misfit(value: Any, depth: int = 0) -> str:
    """Why it is no JSON value; empty if it is one."""
    match value:
        case None | bool():
            return ""
        case str():
            return (
                "" if value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value) else "returned a broken string"
            )
        case int():
            return "" if LEAST <= value <= MOST else "returned an integer beyond 64 bits"
        case float():
            return "" if isfinite(value) else f"returned {value}, which is no JSON number"
        case list() | dict() if depth >= DEEPEST:
            return f"returned more than {DEEPEST} levels of lists and maps"
        case list():
            return next(filter(None, (_misfit(item, depth + 1) for item in value)), "")
        case dict():
            keys = (_misfit(key) if isinstance(key, str) else f"returned a map with the key {key!r}" for key in value)
            return next(filter(None, (*keys, *(_misfit(item, depth + 1) for item in value.values()))), "")
        case _:
            return f"returned {type(value).__name__}, which is no JSON value"


def _misfit_conflicts(conflicts: Any) -> str:
    if not isinstance(conflicts, list | tuple) or not all(isinstance(one, Conflict) for one in conflicts):
        return "returned conflicts that are no list of Conflict"
    fine = (isinstance(one.path, str) and isinstance(one.chosen, str) and isinstance(one.values, dict) for one in conflicts)
    return (
        next(filter(None, (_misfit(one.values) for one in conflicts)), "") if all(fine) else "returned a Conflict that is none"
    )
