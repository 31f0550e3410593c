"""What `call` and `explain` have in common: the options of a request, and failures in words."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

from cyclopts import Parameter

from fanmesh.cli import arguments
from fanmesh.cli.ends import TRACEPARENTS, Exit, Stop, invalid
from fanmesh.client import Client
from fanmesh.model.fault import Code
from fanmesh.model.values import JsonValue
from fanmesh.result import DispatchFailed, Result
from fanmesh.runtime.traceparent import parse
from fanmesh.transport.failures import no_connection

SERVER: Final = "127.0.0.1:50050"

Data: TypeAlias = Annotated[str, Parameter(name=["--data", "-d"], allow_leading_hyphen=True)]
Attributes: TypeAlias = Annotated[Sequence[str], Parameter(name="--attr")]


class Question(NamedTuple):
    """A request as it was typed. `timeout` in seconds, None = the plan's own limit."""

    plan: str
    data: JsonValue
    attributes: dict[str, str]
    timeout: float | None
    metadata: dict[str, str]

    def options(self) -> dict[str, Any]:
        """For the client's methods."""
        return {"timeout": self.timeout, "attributes": self.attributes, "metadata": self.metadata}


def question(plan: str, data: str, attr: Sequence[str], timeout: str | None = None, traceparent: str | None = None) -> Question:
    """Read the options. Stop names the one that is wrong."""
    if traceparent and traceparent != "new" and parse(traceparent) is None:
        raise Stop(invalid(traceparent, "--traceparent", TRACEPARENTS), "give it alone to begin a new trace", Exit.USAGE)
    return Question(
        plan,
        arguments.data(data),
        arguments.pairs(attr, "--attr"),
        arguments.span(timeout, "--timeout") if timeout else None,
        {"traceparent": sampled() if traceparent == "new" else traceparent} if traceparent else {},
    )


def ask(client: Client, asked: Question) -> Result[Any]:
    """Dispatch once. Raises DispatchFailed, with the whole report if the request ran."""
    return client.dispatch(asked.plan, asked.data, full_report=True, **asked.options())


def sampled() -> str:
    """A new W3C traceparent that asks to be recorded."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


@contextmanager
def explained(server: str) -> Iterator[None]:
    """Turn a failed call into words with a next step."""
    try:
        yield
    except DispatchFailed as failed:
        raise refused(failed, server) from failed


def refused(failed: DispatchFailed, server: str) -> Stop:
    """The failure of a call for which there is no report to draw."""
    more = {"code": failed.code.name, "reason": failed.reason, "details": dict(failed.details)}
    if failed.code is Code.UNAVAILABLE and not failed.reason:
        if failed.sent and failed.message and not no_connection(failed.message):
            text = f"the connection to the dispatcher at {server} was lost before it answered"
            return Stop(text, "it may be stopping; ask again", more={**more, "detail": failed.message})
        hint = "start one with `fanmesh dev` or `fanmesh serve CONFIG`, or say where it is: --server HOST:PORT"
        return Stop(f"no dispatcher listening at {server}", hint, more={**more, "detail": failed.message})
    hint = HINTS.get(failed.reason) or HINTS.get(failed.code.name, "")
    if (cause := failed.details.get("cause_code", "")) in OF_THE_INPUT:
        hint = f"the worker says {cause}: look at what it was given ({hint})"
    return Stop(str(failed), hint, Exit.FAILED, more)


OF_THE_INPUT: Final = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE", "FAILED_PRECONDITION"})
"""Codes with which a worker says that the input is at fault, and not the worker."""

HINTS: Final = {
    "PLAN_UNKNOWN": "`fanmesh check FILE -o json` lists the plans of a configuration",
    "NO_ROUTE": "name a plan, or add a route without `if` to the configuration",
    "INPUT_INVALID": "correct that field of the request",
    "NOTHING_TO_RUN": "`fanmesh explain PLAN -d …` says why each branch is skipped",
    "COMPLETION_UNREACHABLE": "the branches say why; a plan that can do without them says so: `required`, `accept`",
    "DEADLINE": "allow more time with --timeout, or let the plan do with less: soft_timeout, accept",
    "DEADLINE_EXCEEDED": "allow more time with --timeout",
    "UNIMPLEMENTED": "what listens there is no dispatcher; `fanmesh dev` says where it is",
    "RESULT_TOO_LARGE": "let branches answer less (`output:`), or raise `server.limits.reply`",
}
"""What to do next, by reason or code."""
