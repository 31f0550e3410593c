import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from fanmesh.model.usage import Usage
from fanmesh.model.values import Opaque
from fanmesh.money import micros
from fanmesh.payload import PayloadError
from fanmesh.workers import Context, serve, worker
from fanmesh.workers.declaring import Answers
from fanmesh.workers.joining import joined


def test_the_signature_says_how_a_worker_is_called() -> None:
    """Input, context, both in either order, or none; found by annotation or by the name `ctx`."""

    @worker
    async def both(q: int, ctx: Context) -> None: ...
    @worker("named")
    async def swapped(ctx: Context, q: int = 0) -> None: ...
    @worker()
    async def only_context(c: Context) -> None: ...
    @worker
    async def untyped(q, ctx, option=1): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    @worker
    async def nothing() -> None: ...

    found = [(w.name, w.has_input, w.has_context, w.context_first) for w in (both, swapped, only_context, untyped, nothing)]
    assert found == [
        ("both", True, True, False),
        ("named", True, True, True),
        ("only_context", False, True, False),
        ("untyped", True, True, False),
        ("nothing", False, False, False),
    ]
    assert (both.takes, untyped.takes) == (int, Any)


def test_every_shape_is_called_with_what_it_asks_for() -> None:
    """The arguments arrive in the order of the signature."""
    ctx = Context()
    assert worker(lambda q, ctx: (q, ctx)).invoke(1, ctx) == (1, ctx)
    assert worker(lambda ctx, q: (ctx, q)).invoke(1, ctx) == (ctx, 1)
    assert worker(lambda q: q).invoke(1, ctx) == 1
    assert worker(lambda ctx: ctx).invoke(1, ctx) is ctx
    assert worker(lambda: "x").invoke(1, ctx) == "x"


def test_the_kind_of_function_says_how_it_answers() -> None:
    """Coroutines once, functions in a thread, generators and whatever returns an AsyncIterator in parts."""

    @worker
    async def once() -> None: ...
    @worker
    def thread() -> None: ...
    @worker
    async def parts() -> AsyncIterator[int]:
        yield 1

    @worker
    def gives() -> AsyncIterator[int]:
        return parts()  # type: ignore[no-any-return]

    assert [w.answers for w in (once, thread, parts, gives)] == [
        Answers.ONCE,
        Answers.IN_THREAD,
        Answers.IN_PARTS,
        Answers.IN_PARTS,
    ]
    assert [w.streams for w in (once, gives)] == [False, True]


def test_signatures_that_cannot_be_called_fail_at_definition() -> None:
    """At import, with the worker's name, and not with the first request."""

    def generator() -> Any:
        yield 1

    def two(a: int, b: int) -> None: ...
    def keyword(*, a: int) -> None: ...
    def fine(q: int, *rest: int, a: int = 1, **more: int) -> None: ...

    for function in (generator, two, keyword):
        with pytest.raises(TypeError, match=f"worker {function.__name__}"):
            worker(function)
    assert worker(fine).has_input


@pytest.mark.parametrize(
    ("whole", "part", "result"),
    [
        ([1], [2], [1, 2]),
        ("a", "b", "ab"),
        ({"a": "x", "b": [1]}, {"a": "y", "b": [2], "c": 3}, {"a": "xy", "b": [1, 2], "c": 3}),
        (None, 3, 3),
        (3, None, 3),
        ({"a": None}, {"a": 1}, {"a": 1}),
    ],
)
def test_parts_are_joined(whole: Any, part: Any, result: Any) -> None:
    """Lists and strings concatenate, maps merge by key, null gives way."""
    assert joined(whole, part) == result


@pytest.mark.parametrize(
    ("whole", "part", "problem"),
    [
        ({"a": {"n": 1}}, {"a": {"n": 2}}, "a.n: a number cannot be appended to a number"),
        (True, False, "a boolean cannot be appended to a boolean"),
        ([1], "a", "a string cannot be appended to a list"),
        ({}, [1], "a list cannot be appended to a map"),
        (Opaque("t", b"", is_message=False), {}, "a map cannot be appended to a blob"),
    ],
)
def test_parts_that_cannot_be_joined_say_where(whole: Any, part: Any, problem: str) -> None:
    """Numbers and booleans do not add up, and kinds do not mix."""
    with pytest.raises(PayloadError) as e:
        joined(whole, part)
    assert str(e.value).startswith(problem)


def test_a_report_adds_to_what_was_said() -> None:
    """Amounts replace, labels join, what is not given stays."""
    ctx = Context()
    ctx.report(confidence=0.2, input_tokens=5, labels={"a": "1"})
    ctx.report(cost_usd="0.0000001", output_tokens=2, labels={"b": "2"})
    assert (ctx.confidence, ctx.usage, ctx.labels) == (0.2, Usage(5, 2, 1), {"a": "1", "b": "2"})
    assert ctx.remaining() is None


@pytest.mark.parametrize(
    "said",
    [{"confidence": 1.1}, {"confidence": float("nan")}, {"input_tokens": -1}, {"output_tokens": 2**63}, {"cost_usd": "x"}],
)
def test_a_report_outside_its_range_is_refused(said: dict[str, Any]) -> None:
    """A worker's defect shows at the worker."""
    ctx = Context()
    with pytest.raises(ValueError, match="is not"):
        ctx.report(**said)
    assert (ctx.confidence, ctx.usage) == (None, Usage())


@pytest.mark.parametrize(("usd", "amount"), [("0.05", 50_000), ("0", 0), ("1", 1_000_000), ("0.0000001", 1), ("1e-6", 1)])
def test_money_is_exact_and_never_rounded_down(usd: str, amount: int) -> None:
    """Decimal strings become whole millionths."""
    assert micros(usd) == amount


@pytest.mark.parametrize("usd", ["", "five", "NaN", "Infinity", "-0.01", "9223372036855"])
def test_what_is_no_money_is_refused(usd: str) -> None:
    """NaN, negative and overflow among them."""
    with pytest.raises(ValueError, match="not an amount of money"):
        micros(usd)


def test_importing_the_package_loads_nothing_heavy() -> None:
    """Names are loaded when asked for; unknown ones are attribute errors."""
    program = (
        "import sys, fanmesh; assert not {'grpc', 'pydantic', 'dispatcher'} & set(sys.modules); "
        "assert 'AsyncClient' in dir(fanmesh); fanmesh.Code; assert 'grpc' not in sys.modules; "
        "fanmesh.AsyncClient, fanmesh.worker; assert 'grpc' in sys.modules\n"
        "try:\n fanmesh.nothing\nexcept AttributeError as e:\n assert 'nothing' in str(e)\nelse:\n raise SystemExit(1)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", ["Bad Name", "Geo", "1geo", "ge-o", "géo", "geo\n"])
def test_a_name_that_no_configuration_can_hold_is_refused(name: str) -> None:
    """Where it is given, with the rule; and where a function's own name is served that is none."""
    said = f"^worker {re.escape(repr(name))} is not a name: a lower-case letter, then lower-case letters, digits and _$"
    with pytest.raises(ValueError, match=said):
        worker(name)

    @worker
    def shown() -> None:
        """Plays a worker."""

    with pytest.raises(ValueError, match=said):
        asyncio.run(serve(replace(shown, name=name)))
