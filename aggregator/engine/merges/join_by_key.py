"""`join_by_key`: lists of records, joined by a key and merged field by field, as in `deep_merge`.

Which rows there are: `outer` (default) the keys of all branches, `inner` those that every answer has, `left` those of one
branch. Rows stand in the order in which their keys come first, in plan order. A key stands once in a branch's list: a join on
something that is no key would lose records, or multiply them, so such an answer is refused.

A default fills fields of a row that nobody has; in an outer join its own rows come last. It is looked at for which rows there
are only if nobody answered, or, in a left join, in place of that branch.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Final, TypeAlias

from aggregator.engine import fields
from aggregator.engine.blend import Rules, blend
from aggregator.engine.jsons import what
from aggregator.engine.keys import Key, items_of, key_of, keyless, same
from aggregator.engine.merging import Merged, MergeError, MergeInput, Strategy
from aggregator.engine.options import Options, Path, dotted, read, schema, unreadable, word
from fanmesh.model.merge import Conflict
from fanmesh.model.values import JsonValue, Value

KIND: Final = "join_by_key"
SCHEMA: Final = schema(
    "Lists of records joined by a key, records merged field by field.",
    key=dotted("The field of a record that holds its key, a string or a number.", "id"),
    how=word("Which rows: those of any branch, of every answer, or of one branch.", "outer", "inner", "left"),
    left={"description": "The branch of a left join; the plan's first if none is named.", "type": "string"},
    path=dotted("Where the list stands in an answer; the whole answer if not given."),
    fields={"description": "A rule per field of a record, as in deep_merge.", **fields.SCHEMA},
)

Table: TypeAlias = Mapping[Hashable, tuple[Key, JsonValue]]
"""A branch's records by key, in the order of its list."""


def prepare(options: JsonValue, branches: Sequence[str]) -> Strategy:
    """Options: key, how, left, path, fields."""
    o = Options(options, SCHEMA)
    key, path, how = o.path("key"), o.path("path"), o.word("how")
    if how != "left" and o.given("left") is not None:
        raise MergeError(
            ("left",), f"says nothing in {'an' if how[0] in 'io' else 'a'} {how} join; write how: left, or leave it out"
        )
    left = o.branch("left", branches)
    rules = fields.field_rules(o.given("fields"), ("fields",))
    for ruled, _ in rules.paths:
        if ruled[: len(key)] == key[: len(ruled)]:
            raise MergeError(("fields", ".".join(ruled)), "the key is the same in all records of a row, and takes no rule")

    def accepts(branch: str, value: Value) -> str | None:
        return unreadable(branch, value, path) or _unfit(".".join((branch, *path)), read(value, path), key, rules)

    def combine(inputs: Sequence[MergeInput]) -> Merged:
        return _combine(inputs, _rows(inputs, how, left), rules.tree)

    return Strategy(combine, accepts, digest=lambda value: _table(read(value, path), key))


def _table(records: JsonValue, path: Path) -> Table:
    keyed = ((key_of(record, path), record) for record in items_of(records))
    return {same(key): (key, record) for key, record in keyed if key is not None}


def _unfit(place: str, records: JsonValue, path: Path, rules: fields.FieldRules) -> str | None:
    """Why a list of records cannot be joined."""
    if not isinstance(records, list | None):
        return f"{place} is {what(records)}, and only lists of records can be joined"
    seen: dict[Hashable, int] = {}
    for at, record in enumerate(records or ()):
        here = f"{place}[{at}]"
        if why := keyless(here, record, path) or rules.unfit(here, record):
            return why
        key = key_of(record, path)
        first = seen.setdefault(same(key), at) if key is not None else at
        if first != at:
            return f"{here}.{'.'.join(path)}: the key {key!r} stands in [{first}] already, and a join needs each once"
    return None


def _rows(inputs: Sequence[MergeInput], how: str, left: str) -> dict[Hashable, Key]:
    """The keys of the rows, in order."""
    real = [one.digest for one in inputs if not one.defaulted]
    spare = [one.digest for one in inputs if one.defaulted]
    if how == "left":
        real, spare = [one.digest for one in inputs if one.branch == left], []
    found: dict[Hashable, Key] = {}
    for table in (*real, *spare):
        for key, (named, _) in table.items():
            found.setdefault(key, named)
    if how == "inner":
        found = {key: named for key, named in found.items() if all(key in table for table in real or spare)}
    return found


def _combine(inputs: Sequence[MergeInput], rows: Mapping[Hashable, Key], rules: Rules) -> Merged:
    value: list[JsonValue] = []
    conflicts: list[Conflict] = []
    errors: list[str] = []
    used = {one.branch for one in inputs if not one.defaulted}
    records: dict[Hashable, list[MergeInput]] = {key: [] for key in rows}
    for one in inputs:  # record by record, and not row by row: a row's key is in few of many branches
        for key, (_, record) in one.digest.items():
            if key in records:
                records[key].append(one._replace(value=record))
    for key, named in rows.items():
        row = blend(records[key], rules)
        conflicts += [conflict._replace(path=f"{named}.{conflict.path}") for conflict in row.conflicts]
        if row.error:
            errors.append(f"{named}.{row.error}")
        value.append(row.value)  # type: ignore[arg-type]  # a blend of maps is one
        used.update(row.merged)
    if errors:
        return Merged(None, tuple(conflicts), (), "; ".join(errors))
    return Merged(value, tuple(conflicts), tuple(one.branch for one in inputs if one.branch in used))
