"""`vote`: the value that most branches say, with the tally.

`plurality` (default): the value with the most votes. `majority`: it needs more than half of them. `weighted`: plurality of the
branches' weights, or, without `weights`, of the confidence each reports. Null abstains. Weights are added up as the decimals
they print as, so that 0.1 + 0.2 is a tie with 0.3 and not its better.

A tie goes to the value that comes first in plan order and is reported as a conflict, as is a vote that nobody wins: then
`winner` is null. A vote that is won is no conflict: the tally says who disagreed. A default votes only if nobody else does.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from aggregator.engine.jsons import canonical, copied
from aggregator.engine.merging import Merged, MergeError, MergeInput, Strategy, json_only
from aggregator.engine.options import Options, dotted, read, schema, share, unreadable, weights, word
from fanmesh.model.exact import exact
from fanmesh.model.merge import Conflict
from fanmesh.model.values import JsonValue, Value

KIND: Final = "vote"
SCHEMA: Final = schema(
    "The value that most branches say, with the tally.",
    path=dotted("The field that is voted on; the whole answer if not given."),
    rule=word("Most votes, more than half of them, or most weight.", "plurality", "majority", "weighted"),
    weights=weights("With `rule: weighted`: a branch's weight, 1 if not named; without it, weights are confidences."),
    min_share=share("The winner needs at least this share of the votes."),
)


class _Choice(NamedTuple):
    votes: Fraction
    given: Sequence[tuple[str, JsonValue]]  # (branch, value), in plan order


def prepare(options: JsonValue, branches: Sequence[str]) -> Strategy:
    """Options: path, rule, weights, min_share."""
    o = Options(options, SCHEMA)
    path, rule, least = o.path("path"), o.word("rule"), exact(float(o.number("min_share")))
    by_branch = o.weights("weights", branches)
    if rule != "weighted" and o.given("weights") is not None:
        raise MergeError(("weights",), f"say nothing in a vote by {rule}; write rule: weighted, or leave them out")
    by_confidence = rule == "weighted" and o.given("weights") is None

    def accepts(branch: str, value: Value) -> str | None:
        return unreadable(branch, value, path) if path else json_only(branch, value)

    def combine(inputs: Sequence[MergeInput]) -> Merged:
        cast = [one for one in inputs if read(one.value, path) is not None]
        cast = [one for one in cast if not one.defaulted] or cast
        choices: dict[Hashable, _Choice] = {}
        for one in cast:
            value = read(one.value, path)
            weight = exact(one.confidence if by_confidence else by_branch[one.branch])
            before = choices.get(canonical(value), _Choice(Fraction(), ()))
            choices[canonical(value)] = _Choice(before.votes + weight, (*before.given, (one.branch, value)))
        merged = _counted(list(choices.values()), least, majority=rule == "majority")
        used = {one.branch for one in cast} | {one.branch for one in inputs if not one.defaulted}
        found = tuple(conflict._replace(path=".".join(path)) for conflict in merged.conflicts)
        return merged._replace(conflicts=found, merged=tuple(one.branch for one in inputs if one.branch in used))

    return Strategy(combine, accepts)


def _counted(choices: Sequence[_Choice], least: Fraction, *, majority: bool) -> Merged:
    """The outcome. Choices are in plan order of who first made them."""
    best_first = sorted(choices, key=lambda choice: -choice.votes)  # stable: ties stay in plan order
    total = sum((choice.votes for choice in choices), Fraction())
    won = best_first[0].votes / total if total else Fraction()
    tied = len(best_first) > 1 and best_first[0].votes == best_first[1].votes
    lost = not total or won < least or (majority and 2 * won <= 1)
    tally: list[JsonValue] = [
        {"value": copied(choice.given[0][1]), "votes": _plain(choice.votes), "branches": [branch for branch, _ in choice.given]}
        for choice in best_first
    ]
    winner = None if lost else copied(best_first[0].given[0][1])
    value: JsonValue = {"winner": winner, "share": float(won), "tie": tied, "tally": tally}
    if not choices or not (tied or lost):
        return Merged(value)
    said: Mapping[str, JsonValue] = {branch: copied(one) for choice in choices for branch, one in choice.given}
    return Merged(value, (Conflict("", dict(said), "" if lost else best_first[0].given[0][0]),))


def _plain(votes: Fraction) -> JsonValue:
    return int(votes) if votes.denominator == 1 else float(votes)
