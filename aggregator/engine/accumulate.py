"""How the parts of a stream become its value.

APPEND: lists and strings concatenate, maps merge by key, numbers and booleans cannot be joined; null says nothing and gives
way. REPLACE: the whole value so far. Parts of two attempts are never spliced: the first part of a later attempt starts over.
The value is built when somebody reads it and not per part, because joining strings one by one costs the square of their length.
"""

from __future__ import annotations

from typing import TypeAlias

from aggregator.engine.jsons import copied, what
from fanmesh.model.values import JsonValue, Opaque, Value


class PartError(ValueError):
    """A part that cannot be joined to the parts before it; says where and why."""


class _Text:
    """The pieces of a string."""

    __slots__ = ("pieces",)

    def __init__(self, piece: str) -> None:
        self.pieces = [piece]

    def joined(self) -> str:
        """The string. It takes the place of its pieces, so that a text which has not grown costs nothing to read again."""
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0]


_Kept: TypeAlias = "bool | int | float | Opaque | _Text | list[JsonValue] | dict[str, _Kept] | None"


class Accumulator:
    """The stream of one branch. `attempt` is −1 until its first part."""

    __slots__ = ("_kept", "_last", "attempt")

    def __init__(self) -> None:
        self.attempt = -1
        self._last = -1
        self._kept: _Kept = None

    def add(self, attempt: int, part_seq: int, *, replace: bool, value: Value) -> bool:
        """Take a part. False: it was dropped, as a duplicate or as a part of an attempt that has been superseded.

        Raises PartError, and stays as it was, if an APPEND part does not fit.
        """
        if attempt < self.attempt or (attempt == self.attempt and part_seq <= self._last):
            return False
        if replace or attempt > self.attempt:
            self._kept = _own(value)
        elif why := _misfit(self._kept, value, ""):
            raise PartError(why)
        else:
            self._kept = _join(self._kept, value)
        self.attempt = attempt
        self._last = part_seq
        return True

    def value(self) -> Value:
        """The value so far, fresh: it shares nothing with the parts and does not change with later ones."""
        return self._kept if isinstance(self._kept, Opaque) else _built(self._kept)

    def glance(self) -> Value:
        """The value so far, its lists not copied: for whoever reads it at once, and keeps and changes nothing of it."""
        return self._kept if isinstance(self._kept, Opaque) else _shown(self._kept)


def _own(value: Value) -> _Kept:
    """`value` in the form that can be added to. Items of lists are never joined, so they stay as they are."""
    if isinstance(value, dict):
        return {key: _own(item) for key, item in value.items()}
    if isinstance(value, list):
        return list(value)
    return _Text(value) if isinstance(value, str) else value


def _built(kept: _Kept) -> JsonValue:
    if isinstance(kept, dict):
        return {key: _built(item) for key, item in kept.items()}
    if isinstance(kept, _Text):
        return kept.joined()
    return copied(kept)  # type: ignore[arg-type]  # an Opaque is only ever the whole value, and `value` has taken that one


def _shown(kept: _Kept) -> JsonValue:
    if isinstance(kept, dict):
        return {key: _shown(item) for key, item in kept.items()}
    return kept.joined() if isinstance(kept, _Text) else kept  # type: ignore[return-value]  # an Opaque is the whole, or not here


def _misfit(kept: _Kept, value: Value, path: str) -> str:
    """Why `value` cannot be appended to `kept`; empty if it can. Asked before anything is changed."""
    match kept, value:
        case (None, _) | (_, None):
            return ""
        case dict(), dict():
            joined = (_misfit(kept[key], item, f"{path}.{key}" if path else key) for key, item in value.items() if key in kept)
            return next(filter(None, joined), "")
        case (_Text(), str()) | (list(), list()):
            return ""
        case _:
            so_far = "a string" if isinstance(kept, _Text) else what(kept)  # type: ignore[arg-type]  # told apart by its outermost type only
            return f"{path or 'the part'}: {what(value)} cannot be appended to {so_far}; only lists, strings and maps can be"


def _join(kept: _Kept, value: Value) -> _Kept:
    """`kept` with `value` appended; fits, and is ours to change."""
    if value is None:
        return kept
    if isinstance(kept, dict) and isinstance(value, dict):
        for key, item in value.items():
            kept[key] = _join(kept[key], item) if key in kept else _own(item)
        return kept
    if isinstance(kept, _Text) and isinstance(value, str):
        kept.pieces.append(value)
        return kept
    if isinstance(kept, list) and isinstance(value, list):
        kept.extend(value)
        return kept
    return _own(value)
