"""YAML text → Document, by the rules of YAML 1.2's core schema.

The parser is ruamel's, which reports the place of every event; its loaders are not used. They resolve scalars by rules of their
own (`1_000` is a number to them), forget where values stood, and expand aliases before anyone can count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from dispatcher.config.document import MAX_DEPTH, MAX_VALUES, Document, Mark, check_scalar
from dispatcher.config.problems import Path, Problem, Wrong, dotted, shown
from dispatcher.config.scalars import TAG, resolve
from fanmesh.model.values import JsonValue

_NOWHERE: Final = Mark()
_UNREAD: Final = object()
"""The content of a scalar that has been complained about."""


class _StopError(Exception):
    """The document is too large or too deep to go on."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _Tree(NamedTuple):
    """A node before aliases are expanded. `content`: a scalar, pairs (key, value), or items."""

    mark: Mark
    kind: type[Event]
    content: Any


def parse(text: str, filename: str) -> Document:
    """Read one document. What is wrong with the text is in `problems`; `value` is then whatever could still be read."""
    document = Document(filename, values={(): Mark(1, 1)})
    try:
        tree = _Reader(text.removeprefix("\ufeff"), document).read()
        document.value = _expand(tree, (), document, iter(range(MAX_VALUES))) if tree else None
        _add_paths(document)
    except MarkedYAMLError as error:
        document.problems.append(_syntax(error, filename))
    except _StopError as stop:
        document.problems.append(stop.problem)
    except Exception as error:  # noqa: BLE001  (on broken escapes and directives ruamel raises whatever Python gave it)
        document.problems.append(Problem(filename, 1, 1, "", f"not YAML: {' '.join(str(error).split())}"))
    return document


def _add_paths(document: Document) -> None:
    """Say of the reader's complaints along which keys they stand; it only knew the lines."""
    paths = {mark: path for path, mark in reversed(document.values.items())}
    for position, problem in enumerate(document.problems):
        path = paths.get(Mark(problem.line, problem.column))
        if not problem.path and path is not None:
            document.problems[position] = problem._replace(path=dotted(path))


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
        self._left = MAX_VALUES
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
        self._left -= 1
        if self._left < 0:
            raise _StopError(_problem(self._document, mark, (), f"more than {MAX_VALUES} keys and values"))
        if depth > MAX_DEPTH:
            raise _StopError(_problem(self._document, mark, (), f"nested deeper than {MAX_DEPTH} levels"))
        match event:
            case AliasEvent():
                return self._aliased(event, mark)
            case ScalarEvent():
                # Nothing at all is reported where its key stands, not at whatever the parser found next.
                tree = _Tree(mark if event.value or event.style else _NOWHERE, ScalarEvent, self._scalar(event))
            case SequenceStartEvent():
                self._tag(event, "seq")
                tree = _Tree(mark, SequenceStartEvent, [self._node(e, depth + 1) for e in self._items()])
            case MappingStartEvent():
                self._tag(event, "map")
                pairs = [(self._node(e, depth + 1), self._node(next(self._events), depth + 1)) for e in self._items()]
                tree = _Tree(mark, MappingStartEvent, pairs)
            case _:
                raise _StopError(_problem(self._document, mark, (), f"not YAML: {type(event).__name__}"))
        if event.anchor:
            self._anchors[event.anchor] = tree
        return tree

    def _aliased(self, event: AliasEvent, mark: Mark) -> _Tree:
        if event.anchor in self._anchors:
            return self._anchors[event.anchor]
        self._complain(event, f"*{event.anchor} names nothing above it", f"&{event.anchor} before it")
        return _Tree(mark, ScalarEvent, _UNREAD)

    def _items(self) -> Iterator[Event]:
        """Events that begin an item; what follows in the item has been consumed when the next one is asked for."""
        for event in self._events:
            if isinstance(event, CollectionEndEvent):
                return
            yield event

    def _scalar(self, event: ScalarEvent) -> object:
        try:
            value = resolve(event.value, event.tag, plain=event.style is None)
            check_scalar(value)
        except Wrong as wrong:
            self._complain(event, wrong.message, wrong.expected)
            return _UNREAD
        return value

    def _tag(self, event: CollectionStartEvent, kind: str) -> None:
        if event.tag not in {None, "!", TAG + kind}:
            self._complain(event, f"the tag {event.tag} is unknown", "no tag")

    def _complain(self, event: Event, message: str, expected: str) -> None:
        self._document.problems.append(_problem(self._document, _mark(event), (), message, expected))


def _mark(event: Event) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


def _expand(tree: _Tree, path: Path, document: Document, budget: Iterator[int], around: Mark = _NOWHERE) -> JsonValue:
    """The value of a tree, noting where each part stands. Raises Wrong when aliases make it too large."""
    if next(budget, None) is None or len(path) > MAX_DEPTH:
        message = f"more than {MAX_VALUES} values, or {MAX_DEPTH} levels, once aliases are expanded"
        raise _StopError(_problem(document, around if tree.mark == _NOWHERE else tree.mark, path[:4], message))
    document.values[path] = mark = around if tree.mark == _NOWHERE else tree.mark
    if tree.content is _UNREAD:
        document.unread.add(path)
        return None
    if tree.kind is SequenceStartEvent:
        return [_expand(item, (*path, position), document, budget, mark) for position, item in enumerate(tree.content)]
    if tree.kind is not MappingStartEvent:
        return tree.content  # type: ignore[no-any-return]  # a scalar, resolved above
    mapping: dict[str, JsonValue] = {}
    for key, item in tree.content:
        name = key.content
        if name is _UNREAD:
            continue
        if key.kind is not ScalarEvent or not isinstance(name, str):
            message = f"the key {shown(name)} is not a string" if key.kind is ScalarEvent else "a list or a mapping is no key"
            document.problems.append(_problem(document, key.mark, path, message, "a string; quote it"))
            continue
        inner = (*path, name)
        if name in mapping:
            document.problems.append(_problem(document, key.mark, inner, "the key is given twice"))
        else:
            document.keys[inner] = key.mark
            mapping[name] = _expand(item, inner, document, budget, key.mark)
    return mapping


def _problem(document: Document, mark: Mark, path: Path, message: str, expected: str = "") -> Problem:
    return Problem(document.filename, mark.line, mark.column, dotted(path), message, expected=expected)
