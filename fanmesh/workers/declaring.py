"""`@worker`: what a function's signature says about its input, and about how it answers.

Decided once, when the function is defined, so that a signature nobody can call fails at import and not in production.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any, Final, Generic, TypeVar, get_origin, get_type_hints, overload

from fanmesh.model.names import A_NAME, is_name
from fanmesh.workers.context import Context

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_STREAMS: Final = (AsyncIterator, AsyncIterable, AsyncGenerator)


@unique
class Answers(Enum):
    """How a worker answers."""

    ONCE = "once"  # async def
    IN_THREAD = "in_thread"  # def
    IN_PARTS = "in_parts"  # async def with yield, or anything annotated AsyncIterator


@dataclass(frozen=True, slots=True)
class Replace(Generic[T]):
    """Yielded by a worker that answers in parts: the whole answer so far. A bare value is appended to what came before."""

    value: T


@dataclass(frozen=True, slots=True)
class Worker(Generic[F]):
    """A function that can be served, or run in the engine's own process. Still callable as the function it was."""

    name: str
    function: F
    answers: Answers
    takes: Any
    """The annotation of its input; Any = as it comes."""

    has_input: bool
    has_context: bool
    context_first: bool = False

    @property
    def streams(self) -> bool:
        """Whether it answers in parts."""
        return self.answers is Answers.IN_PARTS

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    def invoke(self, data: Any, ctx: Context) -> Any:
        """Call the function with what its signature asks for."""
        if not self.has_context:
            return self.function(data) if self.has_input else self.function()
        if not self.has_input:
            return self.function(ctx)
        return self.function(ctx, data) if self.context_first else self.function(data, ctx)


@overload
def worker(name: F) -> Worker[F]: ...
@overload
def worker(name: str = "") -> Callable[[F], Worker[F]]: ...
def worker(name: str | F = "") -> Any:
    """Make a worker of a function: `@worker`, `@worker("geo")`.

    The function takes its input (typed by its annotation: dataclass, pydantic model, TypedDict, dict, protobuf message; none =
    the JSON value), and a `Context` if it wants one. `async def` answers once; `def` too, in a thread; `async def` with `yield`
    answers in parts. TypeError for a signature that cannot be called like that. The name defaults to the function's; ValueError
    for one that no configuration can hold.
    """
    if isinstance(name, str) and name:
        check_name(name)
    scope = sys._getframe(1).f_locals  # noqa: SLF001  (types that a function's caller defined beside it)
    if callable(name):
        return _declare(name, name.__name__, scope)
    return lambda function: _declare(function, name or function.__name__, scope)


def check_name(name: str) -> None:
    """ValueError, with the rule, for a name that no configuration can hold: nobody could ask for that worker."""
    if not is_name(name):
        raise ValueError(f"worker {name!r} is not a name: {A_NAME}")


def _declare(function: F, name: str, scope: dict[str, Any]) -> Worker[F]:
    if inspect.isgeneratorfunction(function):
        raise TypeError(f"worker {name}: a generator that is not async would block the server; make it `async def`")
    hints = get_type_hints(function, localns=scope, include_extras=True)
    inputs: list[str] = []
    contexts: list[str] = []
    order: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        positional = parameter.kind in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}
        if not positional:
            if parameter.default is parameter.empty and parameter.kind is parameter.KEYWORD_ONLY:
                raise TypeError(f"worker {name}: nobody gives it the keyword {parameter.name!r}")
            continue
        hint = hints.get(parameter.name)
        is_context = hint is Context or (hint is None and parameter.name == "ctx")
        if not is_context and inputs and parameter.default is not parameter.empty:
            continue
        (contexts if is_context else inputs).append(parameter.name)
        order.append(parameter.name)
    if len(inputs) > 1 or len(contexts) > 1:
        raise TypeError(f"worker {name}: takes its input and a Context, not {', '.join(order)}")
    return Worker(
        name,
        function,
        _answers(function, hints.get("return")),
        hints.get(inputs[0], Any) if inputs else Any,
        has_input=bool(inputs),
        has_context=bool(contexts),
        context_first=bool(inputs and contexts and order[0] == contexts[0]),
    )


def _answers(function: Callable[..., Any], returns: Any) -> Answers:
    if inspect.isasyncgenfunction(function) or (get_origin(returns) or returns) in _STREAMS:
        return Answers.IN_PARTS
    return Answers.ONCE if inspect.iscoroutinefunction(function) else Answers.IN_THREAD
