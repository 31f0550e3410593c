import threading

import pytest

from fanmesh.expr import EvalError, ExprError, Scope, compile_condition

SCOPE = Scope(frozenset({"task", "risk"}), frozenset({"small", "geo"}))


@pytest.mark.parametrize(
    ("source", "attributes", "answer"),
    [
        ('attributes.task == "enrich"', {"task": "enrich"}, True),
        ('attributes.task == "enrich"', {"task": "other"}, False),
        ('attributes.risk == ""', {}, True),
        ("attributes.task in ['a', 'b']", {"task": "b"}, True),
        ("attributes.`task` == 'a'", {"task": "a"}, True),
    ],
)
def test_attributes(source: str, attributes: dict[str, str], answer: bool) -> None:  # noqa: FBT001 - a table's column
    """Declared attributes are strings; an absent one is the empty string."""
    assert compile_condition(source, SCOPE).evaluate({"attributes": attributes}) is answer


def test_absent_branch_escalates() -> None:
    """A branch that failed or has not run is ok: false, state "", confidence 0.0, output {}: its condition is decided."""
    source = (
        "!branches.small.ok && branches.small.state == '' && branches.small.confidence < 0.9 && branches.small.output == {}"
    )
    condition = compile_condition(source, SCOPE)
    assert condition.evaluate({}) is True
    assert condition.evaluate({"branches": {"small": {}}}) is True


@pytest.mark.parametrize("confidence", [1, 1.0])
def test_confidence_is_a_double(confidence: float) -> None:
    """An integer confidence compares as a double, and divides as one."""
    condition = compile_condition("branches.small.confidence / 2.0 == 0.5", SCOPE)
    assert condition.evaluate({"branches": {"small": {"confidence": confidence}}}) is True


@pytest.mark.parametrize("confidence", [None, float("nan"), float("inf"), True, "0.99", 10**400])
def test_unusable_confidence_is_none_at_all(confidence: object) -> None:
    """What is no finite number counts as confidence 0.0, so that it escalates."""
    condition = compile_condition("branches.small.confidence == 0.0", SCOPE)
    assert condition.evaluate({"branches": {"small": {"confidence": confidence}}}) is True


def test_bare_confidence_is_a_double() -> None:
    """A bare `confidence` is typed and bound like a branch's."""
    condition = compile_condition("confidence >= 0.9", Scope(bare=frozenset({"confidence"})))
    assert condition.evaluate({"confidence": 1}) is True
    with pytest.raises(ExprError, match=r"1\.0"):
        compile_condition("confidence >= 1", Scope(bare=frozenset({"confidence"})))


def test_missing_key_is_an_error_value_and_has_asks_for_it() -> None:
    """A missing key is an EvalError, which is falsy; has() answers instead."""
    missing = compile_condition("input.amount > 1", SCOPE).evaluate({"input": {}})
    assert isinstance(missing, EvalError)
    assert not missing
    assert "amount" in missing.message
    assert missing.source == "input.amount > 1"
    assert compile_condition("has(input.amount)", SCOPE).evaluate({"input": {}}) is False


def test_unbound_root_is_an_error_value() -> None:
    """A root that the caller did not bind is an EvalError, not an exception."""
    assert isinstance(compile_condition("input.amount > 1", SCOPE).evaluate({}), EvalError)


@pytest.mark.parametrize("value", [1, "true", None, [], {"a": 1}, "NOT_FOUND: x"])
def test_only_a_bool_decides(value: object) -> None:
    """A dynamic condition that gives no bool is an EvalError; truthiness is not asked."""
    assert isinstance(compile_condition("input.flag", SCOPE).evaluate({"input": {"flag": value}}), EvalError)


@pytest.mark.parametrize("source", ["size(input)", "'true'", "1", "null", "[true]", "input.?flag"])
def test_static_type_must_be_bool(source: str) -> None:
    """A condition known at load to give something else is refused at load."""
    with pytest.raises(ExprError, match="must give a bool"):
        compile_condition(source, SCOPE)


def test_reads() -> None:
    """What is read is what name resolution says: not words in strings, not variables of macros."""
    condition = compile_condition(
        "branches.small.ok && 'branches.geo.ok' != attributes.task && [{'risk': 1}].all(attributes, attributes.risk == 1)",
        SCOPE,
    )
    assert condition.reads_branches == {"small"}
    assert condition.reads_attributes == {"task"}
    assert condition.reads == {"attributes", "branches"}
    assert condition.evaluate({"attributes": {"task": "t"}, "branches": {"small": {"ok": True}}}) is True


def test_what_is_not_read_is_not_looked_at() -> None:
    """Unread fields may hold anything, so a whole output never enters CEL for the sake of one flag."""
    condition = compile_condition("branches.small.ok", SCOPE)
    unusable = {"small": {"ok": True, "output": object()}, "geo": object()}
    assert condition.evaluate({"input": object(), "branches": unusable}) is True


def test_a_loop_without_end_is_cut() -> None:
    """CEL's iteration budget ends nested macros over large inputs with an EvalError."""
    condition = compile_condition("input.all(x, input.all(y, input.all(z, x + y + z >= 0)))", SCOPE)
    assert isinstance(condition.evaluate({"input": list(range(100))}), EvalError)


def test_conditions_are_values() -> None:
    """Two conditions with the same text and scope are equal and hash alike."""
    assert compile_condition("true", SCOPE) == compile_condition("true", SCOPE)
    assert len({compile_condition("true", SCOPE), compile_condition("true", SCOPE), compile_condition("false", SCOPE)}) == 2


def test_threads_share_a_condition() -> None:
    """One compiled condition may be evaluated from several threads at once."""
    condition = compile_condition("input.all(x, x < 50) == (attributes.task == 'low')", SCOPE)
    wrong: list[object] = []

    def work(high: int, task: str) -> None:
        for _ in range(300):
            answer = condition.evaluate({"input": list(range(high)), "attributes": {"task": task}})
            if answer is not True:
                wrong.append(answer)

    threads = [threading.Thread(target=work, args=case) for case in [(50, "low"), (60, "high")] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("name", ["Task", "1a", "a-b", "", "a\n"])
def test_scope_refuses_what_is_no_identifier(name: str) -> None:
    """Names are a lower-case letter, then letters, digits and underscores."""
    with pytest.raises(ValueError, match="identifier"):
        Scope(attributes=frozenset({name}))


def test_scope_refuses_whole_branches() -> None:
    """`attributes` and `branches` are never readable whole."""
    with pytest.raises(ValueError, match="field by field"):
        Scope(bare=frozenset({"branches"}))
