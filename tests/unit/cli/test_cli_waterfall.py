"""The picture of a request: what it says, and that it says it truthfully."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from fanmesh.cli.rows import LOOKS
from fanmesh.cli.waterfall import header, render, verdict
from fanmesh.model.coverage import Coverage, Degraded
from fanmesh.model.merge import Conflict
from fanmesh.model.report import AttemptReport, BranchReport, PolicyDecision, Report
from fanmesh.model.states import AggregatorMode, AttemptKind, BranchReason, BranchState, CompletedBy
from fanmesh.model.times import ms

R, S = BranchReason, BranchState

GREET = Report(
    request_id="r1",
    plan="greet",
    completed_by=CompletedBy.SOFT_TIMEOUT,
    coverage=Coverage(0.5, 1.0, 2.0, 2, 2, 1, cancelled=1),
    branches=(
        BranchReport(
            "hello",
            "hello",
            S.SUCCEEDED,
            endpoint="127.0.0.1:50051",
            started_after=ms(0),
            elapsed=ms(3),
            required=True,
            merged=True,
            confidence=0.95,
        ),
        BranchReport("slow", "slow", S.CANCELLED, R.SOFT_TIMEOUT, "127.0.0.1:50052", started_after=ms(0), elapsed=ms(200)),
    ),
    degraded=Degraded(soft_timeout=True),
    elapsed=ms(201),
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
)

GREET_TEXT = """\
PARTIAL  201 ms  coverage 0.50  by SOFT_TIMEOUT  trace 4bf92f35…
           ╷0     ╷50    ╷100   ╷150 ms
  ● hello  ▍                               3.0 ms  ok                      127.0.0.1:50051 conf 0.95
  ◌ slow   ░░░░░░░░░░░░░░░░░░░░░░░░░░░░┤   200 ms  CANCELLED/SOFT_TIMEOUT  127.0.0.1:50052
  degraded  soft_timeout"""

EVERY_ENDING = Report(
    request_id="r2",
    plan="everything",
    completed_by=CompletedBy.HARD_TIMEOUT,
    coverage=Coverage(0.999),
    branches=(
        BranchReport("answered", "w", S.SUCCEEDED, started_after=ms(10), elapsed=ms(30), merged=True, sla_met=False),
        BranchReport("unused", "w", S.SUCCEEDED, started_after=ms(0), elapsed=ms(100)),
        BranchReport("default_soft", "w", S.DEFAULTED, R.SOFT_TIMEOUT, started_after=ms(0), elapsed=ms(60)),
        BranchReport("default_fail", "w", S.DEFAULTED, R.WORKER_ERROR, code=5, started_after=ms(0), elapsed=ms(60)),
        BranchReport("timed_out", "w", S.TIMED_OUT, R.HARD_TIMEOUT, started_after=ms(0), elapsed=ms(80)),
        BranchReport("late", "w", S.CANCELLED, R.LATE, started_after=ms(0), elapsed=ms(100)),
        BranchReport(
            "failed", "w", S.FAILED, R.STREAM_BROKEN, code=14, detail="reset", started_after=ms(0), elapsed=ms(20), merged=True
        ),
        BranchReport("rejected", "w", S.REJECTED, R.BREAKER_OPEN),
        BranchReport("skipped", "w", S.SKIPPED, R.CONDITION),
        BranchReport("write", "w", S.PENDING, R.SOFT_TIMEOUT, started_after=ms(0), elapsed=ms(100)),
        BranchReport(
            "retried",
            "w",
            S.SUCCEEDED,
            started_after=ms(0),
            elapsed=ms(90),
            merged=True,
            attempts=(
                AttemptReport(0, AttemptKind.FIRST, "10.0.0.1:1", ms(0), ms(40), code=14, fault="worker_error"),
                AttemptReport(1, AttemptKind.RETRY, "10.0.0.2:1", ms(50), ms(40), won=True),
            ),
        ),
    ),
    degraded=Degraded(soft_timeout=True, hard_timeout=True, defaulted=True, error=True, partial_branch=True),
    elapsed=ms(100),
    aggregator_mode=AggregatorMode.FELL_BACK,
    conflicts=(Conflict("country", {"phone": "DE", "ip": "FR"}, "phone"), Conflict("tags", {"a": [1], "b": [2]}, "")),
)

EVERY_ENDING_TEXT = """\
PARTIAL  100 ms  coverage 0.99  by HARD_TIMEOUT  aggregator FELL_BACK
                  ╷0           ╷50 ms
  ● answered        ████████▊                    30 ms  ok                      sla missed
  ○ unused        ███████████████████████████   100 ms  ok                      not merged
  ◇ default_soft  ░░░░░░░░░░░░░░░┤               60 ms  DEFAULTED/SOFT_TIMEOUT
  ◇ default_fail  ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓✗               60 ms  DEFAULTED/WORKER_ERROR
                  ↳ NOT_FOUND
  ◔ timed_out     ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒┃         80 ms  TIMED_OUT/HARD_TIMEOUT
  ◌ late          ░░░░░░░░░░░░░░░░░░░░░░░░░░»   100 ms  CANCELLED/LATE          answered late
  ✗ failed        ▓▓▓▓✗                          20 ms  FAILED/STREAM_BROKEN    its parts are merged
                  ↳ UNAVAILABLE: reset
  ⊘ rejected                                            REJECTED/BREAKER_OPEN
  – skipped                                             SKIPPED/CONDITION
  … write         ░░░░░░░░░░░░░░░░░░░░░░░░░░→   100 ms  PENDING/SOFT_TIMEOUT
  ● retried       ████████████████████████▎      90 ms  ok                      2 attempts
    └ 1 first     ▓▓▓▓▓▓▓▓▓▓✗                    40 ms  UNAVAILABLE             10.0.0.1:1
    └ 2 retry                  ███████████▎      40 ms  won                     10.0.0.2:1
  degraded  soft_timeout, hard_timeout, defaulted, error, partial_branch
  conflict  country: phone "DE", ip "FR" → phone
  conflict  tags: a [1], b [2] → combined"""


def plain(text: str) -> str:
    """Without colour."""
    return re.sub(r"\x1b\[\d+m", "", text)


def test_the_quick_start_looks_like_this() -> None:
    """The picture of the first request that anybody sees, to the letter."""
    assert render(GREET) == GREET_TEXT


def test_a_branch_that_waited_says_since_when() -> None:
    """One that starts when another has ended; those that all started at once say nothing, and what was not sent has no bar."""
    staged = Report(
        request_id="r3",
        plan="staged",
        completed_by=CompletedBy.ALL,
        coverage=Coverage(0.5),
        branches=(
            BranchReport("first", "w", S.SUCCEEDED, started_after=ms(1), elapsed=ms(40), merged=True, required=True),
            BranchReport("aside", "w", S.SUCCEEDED, started_after=ms(2), elapsed=ms(90), merged=True),
            BranchReport("second", "w", S.SUCCEEDED, endpoint="h:1", started_after=ms(41), elapsed=ms(50), merged=True),
            BranchReport("unwanted", "w", S.SKIPPED, R.CONDITION),
            BranchReport("unfed", "w", S.SKIPPED, R.UPSTREAM_MISSING),
        ),
        degraded=Degraded(missing_input=True),
        elapsed=ms(100),
    )
    assert render(staged, width=100).splitlines()[1:] == [
        "              ╷0     ╷20    ╷40    ╷60    ╷80 ms",
        "  ● first     ██████████████▍                        40 ms  ok",
        "  ● aside     ████████████████████████████████▎      90 ms  ok",
        "  ● second                  █████████████████▉       50 ms  ok                        from 41 ms h:1",
        "  – unwanted                                                SKIPPED/CONDITION",
        "  – unfed                                                   SKIPPED/UPSTREAM_MISSING",
        "  degraded  missing_input",
    ]


def test_every_ending_looks_like_this() -> None:
    """Each state and reason has a glyph, a fill and words of its own; attempts, conflicts and a fallen-back aggregator show."""
    assert render(EVERY_ENDING) == EVERY_ENDING_TEXT


@pytest.mark.parametrize("width", [60, 72, 100, 140])
@pytest.mark.parametrize("report", [GREET, EVERY_ENDING])
def test_no_line_is_wider_than_asked(report: Report, width: int) -> None:
    """Tables fit: what has no room is cut, visibly."""
    assert max(cell_len(line) for line in render(report, width=width).splitlines()) <= width


@pytest.mark.parametrize("report", [GREET, EVERY_ENDING])
def test_colour_only_repeats(report: Report) -> None:
    """Without its escape sequences the coloured picture is the plain one."""
    coloured = render(report, colour=True)
    assert "\x1b[" in coloured
    assert [line.rstrip() for line in plain(coloured).splitlines()] == render(report).splitlines()


def test_attempts_at_several_workers_say_whose_they_were() -> None:
    """Of a branch that fell back; where all went to one worker, its name is in the branch's line already."""
    first = AttemptReport(0, AttemptKind.FIRST, "10.0.0.1:1", ms(0), ms(40), code=14, worker="geo")
    second = AttemptReport(1, AttemptKind.FIRST, "10.0.0.2:1", ms(40), ms(40), won=True, worker="backup")
    branch = BranchReport(
        "geo", "backup", S.FELL_BACK, R.WORKER_ERROR, attempts=(first, second), started_after=0, elapsed=ms(80)
    )
    text = render(replace(GREET, branches=(branch,)), width=140)
    assert "FELL_BACK/WORKER_ERROR" in text
    assert "geo 10.0.0.1:1" in text
    assert "backup 10.0.0.2:1" in text
    alike = replace(GREET, branches=(branch._replace(attempts=(first, second._replace(worker="geo"))),))
    assert "geo 10.0.0.1:1" not in render(alike, width=140)


def test_endings_differ_without_colour() -> None:
    """No two states share a glyph."""
    glyphs = [look.glyph for look in LOOKS.values()]
    assert set(LOOKS) == set(BranchState)
    assert len(set(glyphs)) == len(glyphs)


def test_a_worker_cannot_write_to_the_terminal() -> None:
    """Escape sequences and line breaks in a worker's message are not passed on."""
    branch = BranchReport("b", "b", S.FAILED, R.WORKER_ERROR, code=13, detail="\x1b[2J\r\nowned", started_after=0, elapsed=1)
    text = render(replace(GREET, branches=(branch,)))
    assert "\x1b" not in text
    assert "\r" not in text
    assert "INTERNAL:  [2J  owned" in text


def test_almost_everything_is_not_everything() -> None:
    """Coverage is rounded down: 0.999 does not read 1.00."""
    assert "coverage 0.99" in header(replace(GREET, coverage=Coverage(0.999)))
    assert "coverage 1.00" in header(replace(GREET, coverage=Coverage(1.0)))
    assert "coverage 0.29" in header(replace(GREET, coverage=Coverage(0.29)))


def test_a_failure_says_its_status() -> None:
    """What the report does not hold, the status of the call, is given and shown first."""
    text = header(
        replace(GREET, completed_by=CompletedBy.HARD_TIMEOUT), failed="DEADLINE_EXCEEDED DEADLINE", title="3 too late"
    )
    assert text.startswith("3 too late  FAILED  DEADLINE_EXCEEDED DEADLINE  201 ms")


@pytest.mark.parametrize(
    ("report", "word"),
    [
        (replace(GREET, complete=True), "OK"),
        (GREET, "PARTIAL"),
        (replace(GREET, completed_by=CompletedBy.UNREACHABLE), "FAILED"),
        (replace(GREET, completed_by=CompletedBy.EMPTY), "FAILED"),
        (replace(GREET, branches=(GREET.branches[1]._replace(required=True),)), "FAILED"),
        (replace(GREET, branches=(BranchReport("x", "x", S.SKIPPED, R.CONDITION, required=True),)), "PARTIAL"),
    ],
)
def test_the_first_word(report: Report, word: str) -> None:
    """OK is for nothing missing; a required branch that is missing, and an ending without an answer, are failures."""
    assert verdict(report)[0] == word


def test_nothing_was_sent() -> None:
    """Without any call there is no time axis."""
    empty = replace(GREET, branches=(BranchReport("a", "a", S.SKIPPED, R.CONDITION),), completed_by=CompletedBy.EMPTY)
    assert render(empty).splitlines()[1].split() == ["–", "a", "SKIPPED/CONDITION"]


def test_a_branch_that_ends_after_the_reply_still_fits() -> None:
    """The axis is as long as the longest bar."""
    late = replace(GREET, branches=(GREET.branches[1]._replace(elapsed=ms(400)),))
    assert "400 ms" in render(late)
    assert max(map(cell_len, render(late).splitlines())) <= 100


def test_where_an_answer_came_from() -> None:
    """A hit has no bar, for nothing was sent; who waited for another's call has one; an older answer says for what."""
    joined = BranchReport("joined", "w", S.SUCCEEDED, started_after=ms(0), elapsed=ms(100), merged=True)
    rows = (
        BranchReport("kept", "w", S.SUCCEEDED, merged=True, decisions=(PolicyDecision("cache_hit", "age 1.2s", 0),)),
        joined._replace(decisions=(PolicyDecision("cache_joined", "in_flight", 0), PolicyDecision("retry", "x", 0))),
        joined._replace(
            branch="old",
            state=S.FELL_BACK,
            reason=R.WORKER_ERROR,
            code=14,
            decisions=(PolicyDecision("cache_stale", "UNAVAILABLE, age 9.0s", 0),),
        ),
    )
    picture = render(replace(GREET, branches=rows, degraded=Degraded(error=True)), width=90)
    assert picture.splitlines()[2:] == [
        "  ● kept                                       ok                      cached, age 1.2s",
        "  ● joined  ████████████               100 ms  ok                      joined another call",
        "  ↺ old     ████████████               100 ms  FELL_BACK/WORKER_ERROR  stale, age 9.0s",
        "            ↳ UNAVAILABLE",
        "  degraded  error",
    ]
