"""A branch that is called for each item of a list, in pictures of plans and of requests."""

from __future__ import annotations

from typing import Any

import pytest

from fanmesh.cli.drawing.mermaid import mermaid
from fanmesh.cli.drawing.svg import svg
from fanmesh.cli.drawing.tree import tree
from fanmesh.cli.waterfall import render, verdict
from fanmesh.model.coverage import Coverage
from fanmesh.model.report import AttemptReport, BranchReport, Report
from fanmesh.model.states import AttemptKind, BranchReason, BranchState, CompletedBy
from fanmesh.model.times import ms
from tests.kit.explained import explain, node, told

R, S = BranchReason, BranchState


def item(number: int, state: BranchState = S.SUCCEEDED, reason: BranchReason = R.NONE, **more: Any) -> BranchReport:
    """The row of an item of branch `x`, which is called 10 ms after the one before it."""
    given = {"started_after": ms(10 * number), "elapsed": ms(20), "merged": state is S.SUCCEEDED, **more}
    return BranchReport("x", "w", state, reason, item=number, item_key=f"key{number}", **given)


def report(*rows: BranchReport, by: CompletedBy = CompletedBy.ALL) -> Report:
    """Of a request with these rows."""
    return Report("r", "p", by, Coverage(0.5), branches=rows, elapsed=ms(100))


def drawn(*rows: BranchReport) -> list[str]:
    """Its lines, without header and ruler."""
    return render(report(*rows), width=90).splitlines()[2:]


def test_items_stand_below_their_branch() -> None:
    """A line for all of them, from the first send to the last end; then one for each, by its key, with its attempts."""
    attempts = (
        AttemptReport(0, AttemptKind.FIRST, "h:1", ms(20), ms(5), code=14),
        AttemptReport(1, AttemptKind.RETRY, "h:2", ms(30), ms(10), won=True),
    )
    failed = item(1, S.FAILED, R.WORKER_ERROR, code=5, detail="no such")
    assert drawn(item(0, confidence=0.5), failed, item(2, confidence=0.25, attempts=attempts)) == [
        "  ● x            █████████▋                  40 ms  2 of 3 ok            conf 0.25 3 items",
        "  ●   key0       ████▊                       20 ms  ok                   conf 0.50",
        "  ✗   key1         ▓▓▓▓✗                     20 ms  FAILED/WORKER_ERROR",
        "                 ↳ NOT_FOUND: no such",
        "  ●   key2           █████▋                  20 ms  ok                   from 20 ms 2 att…",
        "      └ 1 first      ▓✗                     5.0 ms  UNAVAILABLE          h:1",
        "      └ 2 retry         ██▋                  10 ms  won                  h:2",
    ]


@pytest.mark.parametrize("count", [12, 13])
def test_of_many_items_those_are_drawn_that_did_not_answer(count: int) -> None:
    """Up to twelve all are; of more, whoever has failed is not to be looked for among those that have not."""
    rows = [item(number) for number in range(count - 1)]
    lines = drawn(*rows, item(count - 1, S.TIMED_OUT, R.HARD_TIMEOUT))
    assert [line.split()[1] for line in lines] == [
        "x",
        *(f"key{n}" for n in range(count if count == 12 else 0)),
        *(["key12"] * (count > 12)),
    ]
    assert f"{count - 1} of {count} ok" in lines[0]


def test_a_folded_report_says_in_words_how_items_ended() -> None:
    """The branch has a row of its own then, and those that failed stand below it."""
    whole = BranchReport(
        "x", "w", S.SUCCEEDED, started_after=0, elapsed=ms(90), merged=True, detail="60 items: 59 SUCCEEDED, 1 FAILED"
    )
    lines = drawn(whole, item(7, S.FAILED, R.WORKER_ERROR, code=5))
    assert [line.split()[:2] for line in lines] == [["●", "x"], ["↳", "60"], ["✗", "key7"], ["↳", "NOT_FOUND"]]
    assert "  ok" in lines[0]


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ((item(0, required=True), item(1, S.FAILED, R.WORKER_ERROR, required=True)), "PARTIAL"),
        ((item(0, S.FAILED, R.WORKER_ERROR, required=True), item(1, S.TIMED_OUT, R.HARD_TIMEOUT, required=True)), "FAILED"),
        ((item(0, required=True, merged=False), item(1, S.TIMED_OUT, R.REQUEST_DEADLINE, required=True)), "FAILED"),
        ((item(0, required=True, merged=False), item(1, S.DEFAULTED, R.WORKER_ERROR, required=True, merged=True)), "PARTIAL"),
        ((BranchReport("x", "w", S.SKIPPED, R.CONDITION, required=True),), "PARTIAL"),
        ((BranchReport("x", "w", S.FAILED, R.WORKER_ERROR, required=True), item(3, S.FAILED, R.WORKER_ERROR)), "FAILED"),
    ],
)  # fmt: skip
def test_a_required_branch_may_miss_items(rows: tuple[BranchReport, ...], word: str) -> None:
    """It is tolerated, or nothing at all would have been merged."""
    assert verdict(report(*rows))[0] == word


CONFIG = """
version: 1
workers: {a: {target: "a:1", effect: read}, b: {target: "b:1", effect: read}}
plans:
  p:
    branches:
      a: {for_each: ITEMS}
      b: {for_each: {items: ["${branches.a.output}", 2], max_concurrency: 8, canary: 1, tolerate: TOLERATE}}
"""


@pytest.mark.parametrize(
    ("items", "first"),
    [
        ('"${[1, 2, 2]}"', "${[1, 2, 2]}: 2 items"),
        ("{items: [7], canary: 2}", "[7]: 1 item, canary 2"),
        ('"${input.no}"', "${input.no}"),
    ],
)
def test_explain_says_what_is_known_of_a_list(items: str, first: str) -> None:
    """How many items there are if no branch has to answer first; where the list cannot be had there is no number."""
    nodes = explain(CONFIG.replace("ITEMS", items).replace("TOLERATE", "1"), "p").nodes
    assert nodes[0].for_each == first
    assert nodes[1].for_each == '["${branches.a.output}", 2], 8 at once, canary 1, 1 may fail'


@pytest.mark.parametrize(("tolerate", "words"), [("0", "none may fail"), ("3", "3 may fail"), ('"25%"', "25% may fail")])
def test_explain_says_how_many_may_fail(tolerate: str, words: str) -> None:
    """As the plan says it."""
    assert explain(CONFIG.replace("ITEMS", "{items: [1]}").replace("TOLERATE", tolerate), "p").nodes[1].for_each.endswith(words)


def test_every_picture_says_that_a_node_is_called_for_each_item() -> None:
    """Tree, flowchart and SVG, on one line, and with nothing that a terminal would obey."""
    nodes = [node("a"), node("b", feeds=["a"], for_each="${branches.a.output},\n\x1b[2J 8 at once")]
    said = "for each of ${branches.a.output}, [2J 8 at once"
    assert said in tree(nodes, 100)
    assert said in mermaid(nodes)
    assert f"<title>{said}</title>" in svg(told(*nodes))
