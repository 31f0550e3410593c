"""The JSON Schema of the configuration (draft 2020-12), so that editors complete keys and underline mistakes.

Made from the models, so it cannot disagree with them; what a merge accepts is given from outside, as in merges.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from dispatcher.config.shape import FileShape

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema(merge_schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema. `merge_schema` is that of the `merge` key and must not refer to definitions of its own."""
    schema = FileShape.model_json_schema(by_alias=True, mode="validation")
    definitions = {name.removesuffix("Shape"): _renamed(definition) for name, definition in schema.pop("$defs").items()}
    definitions["Merge"] = {"title": "Merge", **deepcopy(dict(merge_schema))}
    merge = definitions["Plan"]["properties"]["merge"]
    definitions["Plan"]["properties"]["merge"] = {**merge, "$ref": "#/$defs/Merge"}
    return {"$schema": DRAFT, **_renamed(schema), "title": "fanmesh.yaml", "$defs": dict(sorted(definitions.items()))}


def _renamed(schema: Any) -> Any:
    """The same with the names that people see: `Worker`, not `WorkerShape`; no titles that only repeat the key."""
    match schema:
        case {"patternProperties": names, **rest}:
            return _renamed(rest) | {"patternProperties": _renamed(names), "additionalProperties": False}
        case dict():
            return {
                key: _renamed(value).removesuffix("Shape")
                if key in {"title", "$ref"} and isinstance(value, str)
                else _renamed(value)
                for key, value in schema.items()
                if not (key == "title" and isinstance(value, str) and not value.endswith("Shape"))
            }
        case list():
            return [_renamed(item) for item in schema]
        case _:
            return schema
