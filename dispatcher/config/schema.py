"""The JSON Schema of the configuration (draft 2020-12), so that editors complete keys and underline mistakes.

Made from the models, so it cannot disagree with them; what a merge accepts is given from outside, as in merges.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from dispatcher.config.placing import SYNTHESIS
from dispatcher.config.shape import FileShape
from dispatcher.config.shape_branches import SynthesizeShape

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema(merge_schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema. `merge_schema` is that of the `merge` key and must not refer to definitions of its own."""
    schema = FileShape.model_json_schema(by_alias=True, mode="validation")
    synthesis = SynthesizeShape.model_json_schema(by_alias=True, mode="validation")
    found = {**schema.pop("$defs"), **synthesis.pop("$defs"), "SynthesizeShape": synthesis}
    definitions = {name.removesuffix("Shape"): _renamed(definition) for name, definition in found.items()}
    definitions["Merge"] = {"title": "Merge", **_written(deepcopy(dict(merge_schema)))}
    merge = definitions["Plan"]["properties"]["merge"]
    definitions["Plan"]["properties"]["merge"] = {**merge, "$ref": "#/$defs/Merge"}
    return {"$schema": DRAFT, **_renamed(schema), "title": "fanmesh.yaml", "$defs": dict(sorted(definitions.items()))}


def _written(merge: dict[str, Any]) -> dict[str, Any]:
    """The schema of merges as they are written: one of them is a branch."""
    for arm in merge.get("anyOf", ()):
        if (kind := arm.get("properties", {}).get(SYNTHESIS)) is not None:
            arm["properties"][SYNTHESIS] = {"description": kind["description"], "$ref": "#/$defs/Synthesize"}
    return merge


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
