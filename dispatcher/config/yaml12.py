"""YAML text → Document, by the rules of YAML 1.2's core schema.

The parser is ruamel's, which reports the place of every event; its loaders are not used. They resolve scalars by rules of their
own (`1_000` is a number to them), forget where values stood, and expand aliases before anyone can count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, DocumentStartEvent, Event, MappingStartEvent, ScalarEvent, SequenceStartEvent

from dispatcher.config.document import MAX_DEPTH, MAX_VALUES, Document, Mark, check_scalar
from dispatcher.config.problems import Path, Problem, Wrong, dotted, shown
from fanmesh.model.values import JsonValue

_NULL: Final = re.compile(r"null|Null|NULL|~|")
_BOOL: Final = re.compile(r"true|True|TRUE|(false|False|FALSE)")
_INT: Final = re.compile(r"[-+]?[0-9]{1,24}|0o[0-7]{1,24}|0x[0-9a-fA-F]{1,24}")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_YAML: Final = "tag:yaml.org,2002:"
_KINDS: Final = {type(None): "null", bool: "bool", int: "int", float: "float"}


class _Tree(NamedTuple):
    """A node before aliases are expanded. `content`: a scalar, pairs (key, value), or items."""

    mark: Mark
    kind: type[Event]
    content: Any


def parse(text: str, filename: str) -> Document:
    """Read one document. What is wrong with the text is in `problems`; `value` is then whatever could still be read."""
    document = Document(filename)
    try:
        tree = _Reader(text.removeprefix("\ufeff"), document).read()
        document.value = _expand(tree, (), document, iter(range(MAX_VALUES))) if tree else None
        # The reader knew where it was, and not yet along which keys.
        paths = {mark: path for path, mark in reversed(document.values.items())}
        document.problems = [
            p if p.path else p._replace(path=dotted(paths.get(Mark(p.line, p.column), ()))) for p in document.problems
        ]
    except MarkedYAMLError as error:
        document.problems.append(_syntax(error, filename))
    except Wrong as wrong:
        document.problems.append(Problem(filename, 1, 1, "", wrong.message, expected=wrong.expected))
    except Exception as error:  # noqa: BLE001  (on broken escapes and directives ruamel raises whatever Python gave it)
        document.problems.append(Problem(filename, 1, 1, "", f"not YAML: {' '.join(str(error).split())}"))
    return document


def _syntax(error: MarkedYAMLError, filename: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    context = f" ({error.context})" if error.context else ""
    return Problem(filename, line, column, "", f"not YAML: {error.problem}{context}")


class _Reader:
    """Events → tree. Anchors are known only once their node is complete, so no node can contain itself."""

    def __init__(self, text: str, document: Document) -> None:
        self._events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
        self._anchors: dict[str, _Tree] = {}
        self._document = document

    def read(self) -> _Tree | None:
        """The only document of the stream; None if there is none."""
        tree = None
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                if tree is not None:
                    self._complain(event, "a second document", "one document per file")
                    break
                tree = self._node(next(self._events), 0)
        return tree

    def _node(self, event: Event, depth: int) -> _Tree:
        mark = _mark(event)
        if depth > MAX_DEPTH:
            raise Wrong(f"line {mark.line}: nested deeper than {MAX_DEPTH} levels")
        match event:
            case AliasEvent():
                if event.anchor not in self._anchors:
                    self._complain(event, f"*{event.anchor} names nothing above it", f"an anchor &{event.anchor} before")
                return self._anchors.get(event.anchor, _Tree(mark, ScalarEvent, None))
            case ScalarEvent():
                tree = _Tree(mark, ScalarEvent, self._scalar(event))
            case SequenceStartEvent():
                self._tag(event, "seq")
                tree = _Tree(mark, SequenceStartEvent, [self._node(e, depth + 1) for e in self._until_end()])
            case _:
                self._tag(event, "map")
                pairs = [(self._node(e, depth + 1), self._node(next(self._events), depth + 1)) for e in self._until_end()]
                tree = _Tree(mark, MappingStartEvent, pairs)
        if event.anchor:
            self._anchors[event.anchor] = tree
        return tree

    def _until_end(self) -> Iterator[Event]:
        """Events that begin an item; what follows in the item has been consumed when the next one is asked for."""
        for event in self._events:
            if type(event).__name__ in {"SequenceEndEvent", "MappingEndEvent"}:
                return
            yield event

    def _scalar(self, event: ScalarEvent) -> JsonValue:
        try:
            value = _resolve(event.value, event.tag, plain=event.style is None)
            check_scalar(value)
        except Wrong as wrong:
            self._complain(event, wrong.message, wrong.expected)
            return None
        return value

    def _tag(self, event: Event, kind: str) -> None:
        if event.tag not in {None, "!", _YAML + kind}:
            self._complain(event, f"the tag {event.tag} is unknown", "no tag")

    def _complain(self, event: Event, message: str, expected: str) -> None:
        self._document.problems.append(Problem(self._document.filename, *_mark(event), "", message, expected=expected))


def _mark(event: Event) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _resolve(text: str, tag: str | None, *, plain: bool) -> JsonValue:
    """The core schema's value of a scalar. Raises Wrong."""
    if tag in {"!", _YAML + "str"} or (tag is None and not plain):
        return text
    value = _core(text)
    kind = _KINDS.get(type(value), "str")
    if tag is None or tag == _YAML + kind or (kind == "int" and tag == _YAML + "float"):
        return value
    raise Wrong(f"the tag {tag} is unknown, or does not fit {shown(text)}", "no tag")


def _core(text: str) -> JsonValue:
    if _NULL.fullmatch(text):
        return None
    if found := _BOOL.fullmatch(text):
        return found[1] is None
    if _INT.fullmatch(text):
        return int(text, 10 if text[:2] not in {"0o", "0x"} else 0)
    if _FLOAT.fullmatch(text):
        special = text[-4:].lower() in {".inf", ".nan"}
        return float(text.lower().replace(".", "") if special else text)
    return text


def _expand(tree: _Tree, path: Path, document: Document, budget: Iterator[int]) -> JsonValue:
    """The value of a tree, noting where each part stands. Raises Wrong when aliases make it too large."""
    if next(budget, None) is None or len(path) > MAX_DEPTH:
        raise Wrong(
            f"more than {MAX_VALUES} values, or {MAX_DEPTH} levels, once the aliases are expanded", "a smaller document"
        )
    document.values[path] = tree.mark
    if tree.kind is SequenceStartEvent:
        return [_expand(item, (*path, position), document, budget) for position, item in enumerate(tree.content)]
    if tree.kind is not MappingStartEvent:
        return tree.content  # type: ignore[no-any-return]  # a scalar, resolved above
    mapping: dict[str, JsonValue] = {}
    for key, item in tree.content:
        name, inner = key.content, (*path, key.content)
        if key.kind is not ScalarEvent or not isinstance(name, str):
            message = f"the key {shown(name)} is not a string" if key.kind is ScalarEvent else "a key is a list or a mapping"
            document.problems.append(
                Problem(document.filename, *key.mark, dotted(path), message, expected="a string; quote it")
            )
        elif name in mapping:
            document.problems.append(
                document.problem(inner, "the key is given twice", at_key=True)._replace(
                    line=key.mark.line, column=key.mark.column
                )
            )
        else:
            document.keys[inner] = key.mark
            mapping[name] = _expand(item, inner, document, budget)
    return mapping
