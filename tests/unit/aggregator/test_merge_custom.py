"""The merge that calls a function of the plan's author, and how the function gets there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from aggregator.engine.fold import Fold
from aggregator.engine.merges import Merge, Merged, MergeError, MergeInput, compile_merge
from aggregator.outbox import Outbox
from aggregator.stream import DEFAULTS, Functions, MergeStream
from dispatcher.assembly import MERGES
from dispatcher.config import ConfigErrors, load_text
from fanmesh.eventlog import decode_answer, encode_event
from fanmesh.model.completion import CompletionRule
from fanmesh.model.events import Change, End, Event, FoldNode, Happening, Result, Start
from fanmesh.model.merge import Answer, Conflict, MergeFunction, MergeSpec
from fanmesh.model.states import BranchState, ChangeKind
from fanmesh.model.values import JsonValue, Opaque
from fanmesh.runtime.functions import FunctionError, function, functions
from fanmesh.runtime.tracing import OFF
from fanmesh.transport.port import StatusError
from tests.kit.merging import cheapest, fails

CHEAPEST = "tests.kit.merging:cheapest"
OPTIONS: JsonValue = {"call": CHEAPEST, "options": {"field": "eur"}}


def _merge(call: MergeFunction | None, options: JsonValue = None) -> Merge:
    return compile_merge(
        MergeSpec("custom", {"call": "shop:merge", **({"options": options} if options else {})}, call), ("a", "b")
    )


def _given(*values: JsonValue) -> list[MergeInput]:
    return [
        MergeInput(branch, value, -at, branch == "b", 0.5) for at, (branch, value) in enumerate(zip("ab", values, strict=False))
    ]


def test_it_decides() -> None:
    """A value alone, or with conflicts; every branch it was given is part of it."""
    merged = _merge(cheapest, {"field": "eur"}).merge(_given({"eur": 3}, {"eur": 3.0}))
    assert merged == Merged({"from": "a", "price": 3}, (Conflict("eur", {"a": 3, "b": 3.0}, "a"),), ("a", "b"))
    assert _merge(lambda answers, _: len(answers)).merge(_given(1, 2)).value == 2


def test_it_gets_copies_in_plan_order() -> None:
    """Value, confidence, and whether a default stands in; what it does to them stays with it."""
    seen: list[Answer] = []

    def spoils(answers: Sequence[Answer], options: JsonValue) -> object:
        seen.extend(answers)
        for one in answers:
            assert isinstance(one.value, list)
            one.value.clear()
        assert isinstance(options, dict)
        return options.pop("keep")

    given = _given([1], [2])
    merge = _merge(spoils, {"keep": "x"})
    assert [merge.merge(given[::-1]).value, merge.merge(given).value] == ["x", "x"]
    assert [one.value for one in given] == [[1], [2]]
    assert [(one.branch, one.confidence, one.defaulted) for one in seen] == [("a", 0.5, False), ("b", 0.5, True)] * 2


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({1, 2}, "returned set, which is no JSON value"),
        ({"x": [object()]}, "returned object, which is no JSON value"),
        ({1: 2}, "returned a map with the key 1"),
        ([float("nan")], "returned nan, which is no JSON number"),
        (1 << 64, "returned an integer beyond 64 bits"),
        ("\ud800", "returned a broken string"),
        ({"\udfff": 1}, "returned a broken string"),
        (b"x", "returned bytes, which is no JSON value"),
        ((1, 2), "returned conflicts that are no list of Conflict"),
        ((1, ["x"]), "returned conflicts that are no list of Conflict"),
        ((1, [Conflict("x", {"a": b""}, "")]), "returned bytes, which is no JSON value"),  # type: ignore[dict-item]  # wrong
        ((1, [Conflict("x", 5, "")]), "returned a Conflict that is none"),  # type: ignore[arg-type]  # wrong on purpose
        ((1, [], 3), "returned tuple, which is no JSON value"),
    ],
)
def test_what_is_no_result_is_an_error(value: object, why: str) -> None:
    """Nothing that cannot be sent gets into a reply."""
    assert _merge(lambda *_: value).merge(_given(1)) == Merged(None, error=f"shop:merge {why}")


def test_what_holds_itself_is_an_error() -> None:
    """A value without an end neither hangs nor overflows."""
    loop: list[object] = []
    loop.append(loop)
    assert _merge(lambda *_: loop).merge(_given(1)).error == "shop:merge returned more than 100 levels of lists and maps"


def test_an_exception_is_the_error_of_the_merge() -> None:
    """With the function's name and what it said; the fold goes on to its end."""
    assert _merge(fails).merge(_given(1)).error == "shop:merge failed: KeyError: 'price'"
    start, *rest = _log(MergeSpec("custom", {"call": "tests.kit.merging:fails"}, fails))
    fold = Fold()
    effects = [effect for event in (start, *rest) for effect in fold.apply(event)]
    (result,) = [effect for effect in effects if isinstance(effect, Result)]
    assert (result.value, result.error) == (None, "tests.kit.merging:fails failed: KeyError: 'price'")


def _log(spec: MergeSpec) -> list[Event]:
    start = Start("r", "p", (FoldNode("a"), FoldNode("b")), 900, 1000, CompletionRule(), spec)
    happenings: list[Happening] = [
        start,
        Change("a", ChangeKind.STARTED),
        Change("b", ChangeKind.STARTED),
        End("b", 0, BranchState.SUCCEEDED, value={"eur": 2}),
        End("a", 0, BranchState.SUCCEEDED, value={"eur": 3}),
    ]
    return [Event(seq, seq, what) for seq, what in enumerate(happenings, 1)]


def test_only_names_travel_and_each_process_has_its_own_functions() -> None:
    """An aggregator calls what it was started with, and nothing that a log names beside it."""

    def folded(known: Functions) -> list[bytes]:
        stream, outbox = MergeStream(OFF, DEFAULTS, known), Outbox()
        for event in _log(MergeSpec("custom", OPTIONS, cheapest)):
            stream.take(encode_event(event), outbox, event.at)
        stream.ended()
        return list(iter(lambda: outbox.take(0), None))

    result = decode_answer(folded(functions([CHEAPEST]))[-1])
    assert isinstance(result, Result)
    assert (result.value, result.error) == ({"from": "b", "price": 2}, "")
    for known in ({}, functions(["tests.kit.merging:fails"])):
        with pytest.raises(StatusError, match=f"merge: call: this process was started without the function {CHEAPEST}"):
            folded(known)


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        (None, (), "expected {call: module:function}"),
        ({}, (), "expected {call: module:function}"),
        ({"call": 1}, (), "expected {call: module:function}"),
        ({"call": "a:b", "with": 1}, ("with",), "no such option; there are call, options"),
        ({"call": "a:b"}, ("call",), "this process was started without the function a:b"),
    ],
)
def test_options_that_are_not_understood(options: JsonValue, path: tuple[str, ...], message: str) -> None:
    """The error leads to the place and says what would be right there."""
    with pytest.raises(MergeError) as caught:
        compile_merge(MergeSpec("custom", options), ("a",))
    assert caught.value.path == path
    assert caught.value.message.startswith(message)


def test_opaque_answers_are_refused() -> None:
    """A function gets JSON."""
    assert (_merge(cheapest).accepts("a", Opaque("image/png", b"", is_message=False)) or "").startswith("a is an opaque")


CONFIGURATION = """\
version: 1
workers: {w: {target: "w:1", effect: read}}
plans: {p: {budget: {latency: 1s}, branches: {w: {}}, merge: {custom: {call: "CALL", options: {x: 1}}}}}
"""


def test_a_configuration_brings_its_function() -> None:
    """Imported when it is loaded; the plan's merge has it."""
    config = load_text(CONFIGURATION.replace("CALL", CHEAPEST), filename="f.yaml", merges=MERGES)
    spec = config.catalogue.plans["p"].merge
    assert spec == MergeSpec("custom", {"call": CHEAPEST, "options": {"x": 1}})
    assert spec.function is cheapest


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("merging", "'merging' names no function; write module:function, as in shop.merging:cheapest"),
        ("no_such_module:f", "no_such_module:f cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("tests.kit.merging:f", "tests.kit.merging:f cannot be imported: AttributeError: module 'tests.kit.merging' has no"),
        ("tests.kit.merging:NOT_ONE", "tests.kit.merging:NOT_ONE is of type int, and no function"),
    ],
)
def test_a_function_that_is_not_there_is_a_problem_of_the_configuration(call: str, message: str) -> None:
    """At its line, like any other."""
    with pytest.raises(ConfigErrors) as caught:
        load_text(CONFIGURATION.replace("CALL", call), filename="f.yaml", merges=MERGES)
    (problem,) = caught.value.problems
    assert (problem.path, problem.line) == ("plans.p.merge.custom.call", 3)
    assert problem.message.startswith(message)


def test_modules_are_looked_for_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `fanmesh worker` looks for workers; whatever a module raises while it is imported is the error."""
    (tmp_path / "own_merging.py").write_text("def pick(answers, options):\n    return 1\n")
    (tmp_path / "broken_merging.py").write_text("raise RuntimeError('no data')\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    assert function("own_merging:pick")([], None) == 1
    with pytest.raises(FunctionError, match="broken_merging:x cannot be imported: RuntimeError: no data"):
        function("broken_merging:x")
    assert os.fspath(tmp_path) == sys.path[0]
