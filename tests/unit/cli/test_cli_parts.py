"""Arguments, excerpts, quantiles, time lines: the small pure parts."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.config import Problem
from fanmesh.cli import arguments
from fanmesh.cli.behaving import behaviour
from fanmesh.cli.calling import refused, sampled
from fanmesh.cli.check import excerpt, report
from fanmesh.cli.ends import Exit, Stop
from fanmesh.cli.explain import timeline, until
from fanmesh.cli.repeating import Tally, quantile
from fanmesh.cli.say import result
from fanmesh.cli.told import update_line
from fanmesh.cli.tones import colourful
from fanmesh.model.coverage import Coverage
from fanmesh.model.fault import Code
from fanmesh.model.report import BranchReport, Report
from fanmesh.model.states import BranchReason, BranchState, CompletedBy
from fanmesh.model.times import ms
from fanmesh.result import BranchEvent, DispatchFailed, Snapshot
from fanmesh.runtime.traceparent import parse
from fanmesh.v1.dispatcher_pb2 import ExplainResponse


@pytest.mark.parametrize(("text", "seconds"), [("300ms", 0.3), ("1.5s", 1.5), ("2m", 120.0)])
def test_spans_have_units(text: str, seconds: float) -> None:
    """A time is a number with a unit."""
    assert arguments.span(text, "--timeout") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["300", "", "ms", "-1s", "0s", "1h", "nan"])
def test_other_spans_are_refused(text: str) -> None:
    """Anything else names the option."""
    with pytest.raises(Stop, match="--timeout"):
        arguments.span(text, "--timeout")


@pytest.mark.parametrize("text", ["127.0.0.1:0", "localhost:65535", "[::1]:50051", "0.0.0.0:1", "geo_1:80", "unix:/run/s"])
def test_addresses_to_listen_on(text: str) -> None:
    """A host with a port, or a socket, unchanged."""
    assert arguments.address(text, "--listen") == text


@pytest.mark.parametrize("text", ["", "localhost", ":80", "h:", "h:80a", "h:65536", "52099", "./s", "unix:", "a b:1"])
def test_other_addresses_are_refused(text: str) -> None:
    """Anything else names the option."""
    with pytest.raises(Stop, match="--listen"):
        arguments.address(text, "--listen")


def test_pairs() -> None:
    """`k=v` keeps further equals signs; a key twice is a mistake."""
    assert arguments.pairs(["a=1", "b=x=y", "c="], "--attr") == {"a": "1", "b": "x=y", "c": ""}
    for wrong in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(Stop, match="--attr"):
            arguments.pairs(wrong, "--attr")


def test_data_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON as it is typed, from a file, from stdin."""
    (tmp_path / "in.json").write_text('{"a": 1}')
    monkeypatch.setattr("sys.stdin", io.StringIO("[2]"))
    assert arguments.data('"x"') == "x"
    assert arguments.data(f"@{tmp_path}/in.json") == {"a": 1}
    assert arguments.data("-") == [2]
    with pytest.raises(Stop, match=r"missing\.json"):
        arguments.data(f"@{tmp_path}/missing.json")


def test_the_caret_stands_under_the_column() -> None:
    """Line and caret are aligned, also when only a part of a long line is shown."""
    line, caret = excerpt("geo: {timeout: 200}", 31, 16)
    assert line[caret.index("^")] == "2"
    long = "x" * 150 + "HERE" + "y" * 150
    line, caret = excerpt(long, 7, 151)
    assert line[caret.index("^")] == "H"
    assert len(line) <= 100
    assert "…" in line


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=300), st.integers(0, 400))
def test_excerpts_always_fit(line: str, column: int) -> None:
    """Whatever stands in the file, and wherever a problem points."""
    shown, caret = excerpt(line, 1, column)
    assert shown.isprintable()
    assert caret.endswith("^")


def test_problems_come_with_their_lines(tmp_path: Path) -> None:
    """Message, line, caret; a problem without a line has only its message."""
    file = tmp_path / "f.yaml"
    file.write_text("version: 2\n")
    problems = [Problem("f.yaml", 1, 10, "version", "2 is not known"), Problem("f.yaml", 0, 0, "", "nothing else")]
    assert report(problems, file).splitlines() == [
        "f.yaml:1:10 version: 2 is not known",
        "     1 │ version: 2",
        "       │          ^",
        "f.yaml: nothing else",
    ]


@given(st.lists(st.integers(0, 10**9), min_size=1), st.integers(1, 100))
def test_a_quantile_is_a_value_that_was_seen(values: list[int], percent: int) -> None:
    """Nearest rank: at least so many percent are not above it, and the next smaller value would not do."""
    found = quantile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)


def test_the_exit_code_of_many_calls() -> None:
    """All complete: 0; one partial: 3; one failed: 1, whatever the others did."""
    whole = Report("r", "p", CompletedBy.ALL, Coverage(1.0), (), complete=True)
    part = Report("r", "p", CompletedBy.SOFT_TIMEOUT, Coverage(0.5), ())
    tally = Tally()
    tally.add(1, whole, None)
    assert tally.exit is Exit.OK
    tally.add(1, part, None)
    assert tally.exit is Exit.PARTIAL
    tally.add(1, None, DispatchFailed(Code.DEADLINE_EXCEEDED, "DEADLINE"))
    assert tally.exit is Exit.FAILED
    assert tally.codes == {"OK": 2, "DEADLINE_EXCEEDED DEADLINE": 1}


def test_failures_say_what_to_do_next() -> None:
    """No connection, and each reason of the protocol that a caller can act on."""
    assert "no dispatcher" in refused(DispatchFailed(Code.UNAVAILABLE), "h:1").message
    assert "route" in refused(DispatchFailed(Code.NOT_FOUND, "NO_ROUTE", "none"), "h:1").hint
    assert refused(DispatchFailed(Code.UNAVAILABLE, "COMPLETION_UNREACHABLE", "x"), "h:1").message.startswith("UNAVAILABLE")


def test_who_cannot_be_reached_and_who_was_lost_are_told_apart() -> None:
    """Nobody should look for a dispatcher that is there; nor weaken a plan because its input was wrong."""
    nobody = refused(DispatchFailed(Code.UNAVAILABLE, sent=False), "h:1")
    lost = refused(DispatchFailed(Code.UNAVAILABLE, message="Cancelling all calls"), "h:1")
    assert nobody.message == "no dispatcher listening at h:1"
    assert lost.message == "the connection to the dispatcher at h:1 was lost before it answered"
    wrong = DispatchFailed(Code.UNAVAILABLE, "COMPLETION_UNREACHABLE", details={"cause_code": "INVALID_ARGUMENT"})
    assert refused(wrong, "h:1").hint.startswith("the worker says INVALID_ARGUMENT: look at what it was given")


def test_a_new_traceparent_is_valid_and_sampled() -> None:
    """It is read back by the parser of the product."""
    ids = parse(sampled())
    assert ids is not None
    assert ids.sampled


def test_results_are_shown_on_one_line_if_they_fit() -> None:
    """Short ones with spaces, long ones indented."""
    assert result({"hello": {"text": "Hi Ada"}}) == '{"hello": {"text": "Hi Ada"}}'
    assert result({"a": "x" * 100}).splitlines()[0] == "{"


def test_updates_as_lines() -> None:
    """What was sent, what ended and how, and snapshots cut to the width."""
    sent = BranchReport("geo", "geo", BranchState.PENDING)
    late = sent._replace(state=BranchState.CANCELLED, reason=BranchReason.SOFT_TIMEOUT, elapsed=ms(300))
    assert update_line(BranchEvent(sent, Coverage()), ms(1), 100) == "   1.0 ms  coverage 0.00  geo  sent"
    assert update_line(BranchEvent(late, Coverage(0.5)), ms(301), 100).endswith("0.50  geo  CANCELLED/SOFT_TIMEOUT  300 ms")
    line = update_line(Snapshot({"a": "x" * 200}, Coverage()), ms(1), 80)
    assert len(line) <= 80
    assert line.endswith("…")


def test_the_time_line_of_a_plan() -> None:
    """Solid while waited for, light until the deadline, and the request's own end."""

    def of(milliseconds: int) -> Duration:
        return Duration(nanos=milliseconds * 1_000_000)

    told = ExplainResponse(plan="p", total=of(100), stop=of(75))
    told.nodes.add(branch="geo", runs=True, deadline=of(50), soft_timeout=of(25))
    told.nodes.add(branch="phone", runs=True, required=True, deadline=of(75), soft_timeout=of(25))
    told.nodes.add(branch="off", runs=False)
    assert timeline(told).splitlines()[1:] == [
        "geo      ━━━━━━━━━━━━━┤░░░░░░░░░░░░░┃",
        "phone    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┤",
        "off      · not sent",
        "request  ─────────────────────────────────────────┃╌╌╌╌╌╌╌╌╌╌╌╌╌│  stop 75 ms",
    ]


def test_behaviours_replay_and_know_their_workers() -> None:
    """The same seed gives the same acts; a worker that is not there is refused by name."""
    first, second = (behaviour(["geo:fail=UNAVAILABLE@50%"], ["geo", "tax"], 7) for _ in range(2))
    assert first is not None
    assert second is not None
    assert [first("geo") for _ in range(50)] == [second("geo") for _ in range(50)]
    assert {act.outcome.value for _ in range(20) if (act := first("tax")) is not None} == {"ok"}
    assert behaviour([], ["geo"], 7) is None
    with pytest.raises(Stop, match="no worker gio"):
        behaviour(["gio:hang"], ["geo"], 0)
    with pytest.raises(Stop, match="--behaviour"):
        behaviour(["geo:dance"], ["geo"], 0)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """None in a pipe, none with NO_COLOR, none on a dumb terminal; an empty NO_COLOR counts as unset."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert colourful(_Terminal())
    assert not colourful(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "")
    assert colourful(_Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colourful(_Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not colourful(_Terminal())


def test_the_rules_that_complete_are_told_as_they_are_written() -> None:
    """In their order; the predicate by its text, and how often it is asked."""
    told = ExplainResponse(predicate="size(merged) > 2")
    for rule in ({"all": True}, {"count": 2}, {"coverage": 0.75}, {"predicate": True}, {"confidence": 0.9}):
        told.completion.until.add(**rule)
    told.completion.until.add().quiet.FromMilliseconds(50)
    text = "all or count 2 or coverage 0.75 or size(merged) > 2 or confidence 0.9 or quiet for 50 ms"
    assert until(told) == text
    told.predicate_min_interval.FromMilliseconds(20)
    assert until(told) == text.replace("> 2 or", "> 2 (asked every 20 ms at most) or")
