"""What changed in a result, and how to put it together again: `fold(before, diff(before, after))` is `after`.

A diff of two states and not a record of what was done in between, because who reads slowly is told once about many changes: the
difference to the state it was told last, however that came about. Both directions cost what the values are long, at most.

A path is a JSON Pointer (RFC 6901): keys, each after a `/`, with `~1` for `/` and `~0` for `~`; empty = the whole result. It
leads through maps only. Lists and strings are added to at their end, or replaced: an item in the middle has no path, because a
list that is ranked again would move them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum, unique
from typing import Final, NamedTuple, TypeAlias

from fanmesh.model.coverage import Coverage
from fanmesh.model.values import JsonValue, Opaque, Value

LIMIT: Final = 1 << 20
"""Most bytes of a delta; what would be longer is said by telling the whole."""

OVERHEAD: Final = 12
"""Bytes of an operation beside path and value: tags, lengths and the kind."""


@unique
class OpKind(IntEnum):
    """A kind of change, by the numbers of the protocol."""

    SET = 1
    APPEND = 2
    REMOVE = 3
    RESET = 4


class Op(NamedTuple):
    """One change. `value` is that of SET, APPEND and RESET; a RESET has no path: it replaces the whole result."""

    path: str
    kind: OpKind
    value: Value = None


class Unfoldable(ValueError):  # noqa: N818  (what the operation is)
    """An operation that does not fit the value it is to change: one before it was lost, or it is wrong."""


def diff(before: Value, after: Value) -> list[Op]:
    """What makes `after` out of `before`, none if they are the same. 1, 1.0 and true differ; the order of keys says nothing."""
    ops: list[Op] = []
    _differ(before, after, "", ops)
    return ops


def fold(value: Value, ops: Iterable[Op]) -> Value:
    """`value` after these changes; what did not change is shared with it, and neither it nor the operations are changed.

    Raises Unfoldable if an operation does not fit.
    """
    own: _Own = {}
    for op in ops:
        value = _applied(value, op, own)
    return value


def size(ops: Sequence[Op], most: int = LIMIT) -> int:
    """Bytes that they take on the wire, roughly; counted up to `most` and a little more."""
    total = 0
    for op in ops:
        total += OVERHEAD + len(op.path) + _size(op.value, most - total)
        if total > most:
            break
    return total


def reset(value: Value) -> tuple[Op, ...]:
    """The whole, for a reader that may know nothing."""
    return (Op("", OpKind.RESET, value),)


def shortest(before: Value, after: Value, limit: int = LIMIT) -> tuple[Op, ...]:
    """The diff, or one RESET if that is shorter, or if the diff is over `limit` bytes."""
    ops = diff(before, after)
    if not ops or ops[0].kind is OpKind.RESET:
        return tuple(ops)
    long = size(ops, limit)
    return reset(after) if long > limit or OVERHEAD + _size(after, long) < long else tuple(ops)


class Told:
    """What one reader of a stream has been told: changes are those since then, so a slow one gets fewer and larger ones."""

    __slots__ = ("_coverage", "_value")

    def __init__(self) -> None:
        self._coverage: Coverage | None = None
        self._value: Value = None

    def news(self, value: Value, coverage: Coverage, *, anew: bool = False) -> tuple[Op, ...] | None:
        """What to tell; None = it knows all of this. No operations: only the coverage is new.

        The first thing a reader is told is the whole. `anew`: tell it again.
        """
        if anew or self._coverage is None:
            return reset(value)
        ops = shortest(self._value, value)
        return ops if ops or coverage != self._coverage else None

    def heard(self, value: Value, coverage: Coverage) -> None:
        """It has been told. The value is kept as it is, and must not be changed."""
        self._value, self._coverage = value, coverage


def _differ(before: Value, after: Value, path: str, ops: list[Op]) -> None:
    if before is after:
        return
    if type(before) is type(after):
        if isinstance(before, dict) and isinstance(after, dict):
            _differ_maps(before, after, path, ops)
            return
        if isinstance(before, str) and isinstance(after, str):
            if before == after:
                return
            if after.startswith(before):
                ops.append(Op(path, OpKind.APPEND, after[len(before) :]))
                return
        elif isinstance(before, list) and isinstance(after, list):
            if len(before) <= len(after) and _alike(before, after):
                if len(before) < len(after):
                    ops.append(Op(path, OpKind.APPEND, after[len(before) :]))
                return
        elif _same(before, after):
            return
    ops.append(Op(path, OpKind.SET if path else OpKind.RESET, after))


def _differ_maps(before: dict[str, JsonValue], after: dict[str, JsonValue], path: str, ops: list[Op]) -> None:
    ops.extend(Op(f"{path}/{_escaped(key)}", OpKind.REMOVE) for key in before if key not in after)
    for key, item in after.items():
        if key not in before:
            ops.append(Op(f"{path}/{_escaped(key)}", OpKind.SET, item))
        elif (old := before[key]) is not item:
            _differ(old, item, f"{path}/{_escaped(key)}", ops)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1") if "~" in key or "/" in key else key


def _alike(before: list[JsonValue], after: list[JsonValue]) -> bool:
    """Whether each item of the shorter one has its equal at the same place. A loop, for it looks at all that did not change."""
    for old, new in zip(before, after, strict=False):  # noqa: SIM110
        if old is not new and not _same(old, new):
            return False
    return True


def _same(one: Value, other: Value) -> bool:
    """Whether they are the same JSON to the last bit. Not `==`, for which 1 is 1.0 is True, and 0.0 is -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        if len(one) != len(other):  # type: ignore[arg-type]  # both are maps
            return False
        look = other.get  # type: ignore[union-attr]
        for key, item in one.items():  # noqa: SIM110
            if (found := look(key, _NOTHING)) is not item and not _same(item, found):  # type: ignore[arg-type]
                return False
        return True
    if isinstance(one, list):
        return len(one) == len(other) and _alike(one, other)  # type: ignore[arg-type]  # both are lists
    return one == other and (one != 0 or str(one) == str(other))


_NOTHING: Final = object()


def _size(value: Value, most: int) -> int:
    """Bytes as JSON, roughly; the count stops soon after `most`."""
    total = 0
    todo: list[Value] = [value]
    while todo and total <= most:
        match todo.pop():
            case str(text):
                total += 3 + _bytes(text)
            case dict(fields):
                total += 3 + sum(4 + _bytes(key) for key in fields)
                todo.extend(fields.values())
            case list(items):
                total += 3
                todo.extend(items)
            case Opaque(_, data):
                total += len(data)
            case _:
                total += 6
    return total


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


_Map: TypeAlias = dict[str, JsonValue]
_Own: TypeAlias = dict[int, _Map]
"""Maps that this fold has copied already, by identity; they are kept here, so that no other can get the identity of one."""


def _applied(value: Value, op: Op, own: _Own) -> Value:
    path, kind, given = op
    if not path:
        match kind:
            case OpKind.RESET | OpKind.SET:
                return given
            case OpKind.APPEND:
                return _joined(value, given, path)
            case _:
                raise Unfoldable(f"{kind.name} of the whole")
    if isinstance(given, Opaque) or kind is OpKind.RESET or not path.startswith("/"):
        raise Unfoldable(f"{kind.name} at {path!r}")
    *way, last = [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]
    here = whole = _owned(value, own, path)
    for step in way:
        here[step] = inner = _owned(here.get(step), own, path)
        here = inner
    if kind is OpKind.SET:
        here[last] = given
    elif last not in here:
        raise Unfoldable(f"{kind.name} at {path!r}, where there is nothing")
    elif kind is OpKind.REMOVE:
        del here[last]
    else:
        here[last] = _joined(here[last], given, path)
    return whole


def _owned(value: Value, own: _Own, path: str) -> _Map:
    """A map that may be changed: a copy of its outermost level, made once in a fold."""
    if not isinstance(value, dict):
        raise Unfoldable(f"{path!r} leads through what is no map")
    if id(value) in own:
        return value
    mine = dict(value)
    own[id(mine)] = mine
    return mine


def _joined(value: Value, more: Value, path: str) -> JsonValue:
    if isinstance(value, str) and isinstance(more, str):
        return value + more
    if isinstance(value, list) and isinstance(more, list):
        return [*value, *more]
    raise Unfoldable(f"APPEND at {path!r}: only strings and lists can be added to, with their like")
