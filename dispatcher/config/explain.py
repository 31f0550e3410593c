"""pydantic's complaints → Problems in the words of the configuration.

pydantic speaks of types and models (`Input should be a valid dictionary`), points into its own tree (`loc` names union arms
that no file contains), and does not know which key was meant. Readers of a configuration need the opposite on all three.
"""

from __future__ import annotations

import re
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dispatcher.config import reserved, shape
from dispatcher.config.document import Document
from dispatcher.config.problems import Path, Problem, Wrong, listed, near, shown
from dispatcher.config.scalars import resolve
from dispatcher.config.shape_branches import FallbackShape
from fanmesh.model.names import A_NAME
from fanmesh.model.values import JsonValue

_WORDS: Final = re.compile("[a-z]+")

KINDS: Final = {
    "string_type": "a string",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}

_LEAST: Final[dict[type[BaseModel], str]] = {shape.PlanShape: "branches", FallbackShape: "worker, branch or use"}
"""What a section needs at least, where no single key is required."""


def section(path: Path, tag: str | int = "") -> type[BaseModel] | None:
    """The model of the mapping at `path`; None where keys are names or data.

    Where several may stand, it is the one with pydantic's `tag`, which is its first key in brackets (see `only_key`).
    """
    kinds: list[Any] = [shape.FileShape]
    for item in path:
        kinds = [arm for kind in kinds for arm in _below(kind, item)]
    models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    if len(models) > 1:
        models = [model for model in models if f"({_fields(model)[0][0]})" == tag]
    return models[0] if len(models) == 1 else None


def _below(kind: Any, item: str | int) -> list[Any]:
    """What may stand under a key of a model or a mapping, or in a list."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return next((_arms(field.annotation) for key, field in _fields(kind) if key == item), [])
    return _arms(get_args(kind)[-1]) if get_origin(kind) in {dict, list} else []


def _arms(kind: Any) -> list[Any]:
    """The kinds that a choice is among, without what pydantic is told about them."""
    if get_origin(kind) is Annotated:
        return _arms(get_args(kind)[0])
    return [one for arm in get_args(kind) for one in _arms(arm)] if get_origin(kind) in {Union, UnionType} else [kind]


def _fields(model: type[BaseModel] | None) -> list[tuple[str, FieldInfo]]:
    """The keys of a section as they are written, and what they mean."""
    return [(field.alias or name, field) for name, field in model.model_fields.items()] if model else []


def locate(error: ErrorDetails, document: Document) -> Path:
    """Where in the document pydantic's `loc` is: what is not there is skipped, except the name of a missing key."""
    node: Any = document.value
    path: list[str | int] = []
    missing = error["type"] == "missing"
    for item in error["loc"][:-1] if missing else error["loc"]:
        match node, item:
            case dict(), str() if item in node:
                node = node[item]
            case list(), int() if item < len(node):
                node = node[item]
            case _:
                continue
        path.append(item)
    return (*path, error["loc"][-1]) if missing else tuple(path)


def explain(error: ErrorDetails, path: Path, document: Document) -> Problem:
    """One complaint of pydantic about what stands at `path`, in our words."""
    value, context = error["input"], error.get("ctx", {})
    name = next((item for item in reversed(path) if isinstance(item, str)), "")
    if (word := _word(value)) in reserved.VALUES.get(name, ()):
        return document.problem(path, reserved.unsupported(f"{name}: {word}"))
    match error["type"]:
        case "extra_forbidden" if name in reserved.KEYS:
            return document.problem(path, reserved.unsupported(name), at_key=True)
        case "extra_forbidden":
            model = section(path[:-1], error["loc"][-2] if len(error["loc"]) > 1 else "")
            known = [key for key, _field in _fields(model)]
            return document.problem(path, f"unknown key{near(name, known)}", listed(known), at_key=True)
        case "missing":
            model = section(path[:-1])
            field = next((field for key, field in _fields(model) if key == name), None)
            meaning = (field.description or "") if field else ""
            words = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
            return document.problem(
                path, f"is missing: {meaning[:1].lower()}{meaning[1:]}".rstrip("."), " or ".join(map(str, words))
            )
        case "value_error" if isinstance(wrong := context.get("error"), Wrong):
            return document.problem(path, wrong.message, wrong.expected)
        case "string_pattern_mismatch":
            return document.problem(path, f"{shown(value)} is not a name", A_NAME, at_key=error["loc"][-1] == "[key]")
        case "literal_error":
            expected = str(context["expected"]).replace("'", "")
            meant = near(value, _WORDS.findall(expected)) if isinstance(value, str) else ""
            return document.problem(path, f"{_shown(value)} is not known here{meant}", _forms(error, path) or expected)
        case "too_short" | "too_long" as kind:
            most = "least" if kind == "too_short" else "most"
            bound = context["min_length" if kind == "too_short" else "max_length"]
            return document.problem(path, f"{shown(value)} of {len(value)} is not allowed", f"at {most} {bound}")
        case "choice":
            return document.problem(path, f"{_shown(value)} is not allowed here", error["msg"])
        case kind if kind in KINDS and (forms := _forms(error, path)):
            return document.problem(path, f"{_shown(value)} is not allowed here", forms)
        case kind if kind in KINDS:
            least = _least(section(path)) if kind.startswith("model_") else ""
            return document.problem(path, f"{_shown(value)} is not {KINDS[kind]}", f"{KINDS[kind]}{least}")
        case _:
            expected = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            return document.problem(path, f"{shown(value)} is not allowed", expected)


def _forms(error: ErrorDetails, path: Path) -> str:
    """All ways to write what stands at `path`, if there are several and the whole of it is wrong; else nothing.

    pydantic names those of one arm only, the one that was looked at; that it was an arm is seen by its tag.
    """
    if not str(error["loc"][-1]).startswith("("):
        return ""
    at = max(position for position, item in enumerate(path) if isinstance(item, str))
    field = next((field for key, field in _fields(section(path[:at])) if key == path[at]), None)
    found = [] if field is None else [*_choices(field.annotation), *field.metadata]
    return next((one.custom_error_message or "" for one in found if isinstance(one, Discriminator)), "")


def _choices(kind: Any) -> list[Discriminator]:
    """How the arms of a choice are told apart, those of the innermost choice first."""
    below = [one for arm in get_args(kind) for one in _choices(arm)]
    return below + [one for one in getattr(kind, "__metadata__", ()) if isinstance(one, Discriminator)]


def _least(model: type[BaseModel] | None) -> str:
    """What has to stand in a section."""
    required = [key for key, field in _fields(model) if field.is_required()]
    if model is None or not (least := _LEAST.get(model) or ", ".join(required)):
        return "" if model is None else " ({} for all defaults)"
    return f" with {least}"


def _shown(value: object) -> str:
    """A value as in the file; of a string that looks like something else, that it is one."""
    if isinstance(value, str) and not isinstance(_plain(value), str):
        return f'the string "{value}"'
    return shown(value)


def _plain(text: str) -> JsonValue:
    """What a string would be without its quotes."""
    try:
        return resolve(text, None, plain=True)
    except Wrong:
        return None


def _word(value: object) -> str:
    """A word, or the only key of a mapping: how a choice is written."""
    match value:
        case str():
            return value
        case dict() if len(value) == 1:
            return str(next(iter(value)))
        case _:
            return ""
