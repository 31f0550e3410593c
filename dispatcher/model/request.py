"""One request as the dispatcher sees it, and the ways in which it is turned down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dispatcher.model.reading import Input
from fanmesh.model.fault import Code
from fanmesh.model.states import AttemptKind, EmitMode


class Trace(NamedTuple):
    """W3C trace context of the request, to hand on. `sampled`: spans are recorded for it.

    Sampled: `traceparent` names the request's own span, and `parent` is the caller's (16 hex digits; empty = it is a root).
    Not sampled: `traceparent` is as it arrived, or a new one that says so, or empty.
    """

    traceparent: str = ""
    tracestate: str = ""
    sampled: bool = False
    parent: str = ""

    @property
    def trace_id(self) -> str:
        """32 hex digits, or empty."""
        return self.traceparent[3:35]

    def headers(self) -> tuple[tuple[str, str], ...]:
        """What every worker is sent as it came. Empty if the request is sampled: each attempt has its own context then."""
        if self.sampled or not self.traceparent:
            return ()
        head = (("traceparent", self.traceparent),)
        return (*head, ("tracestate", self.tracestate)) if self.tracestate else head


@dataclass(frozen=True, slots=True)
class Tightening:
    """What a caller may ask beyond the plan: a higher floor and less time. Never a lower one, never more."""

    latency: int | None = None
    min_success: int = 0
    min_coverage: float = 0.0
    required: frozenset[str] = frozenset()


LOOSE = Tightening()


@dataclass(slots=True)
class Request:
    """One request. `arrived` is the clock's time in ns; `remaining` ns until the caller's deadline, None = it has none.

    `headers` go to every worker as they are. `wire` is whatever the leaf wants to serialise only once per request.
    `critical` False: it is shed first. `inherited`: what attempt of somebody else's this request is, FIRST if it is none; a
    hedge, retry or shadow is never hedged again. `shadow`: the answer is only compared. `idempotency_key` empty = none.
    `faults`: metadata by which the caller asks for injected faults. `metadata`: what else it said that some worker is told.
    `method` is the one that was called (`package.Service/Method`); empty: the caller is a program with the engine in it.
    """

    id: str
    plan: str
    input: Input
    arrived: int
    attributes: Mapping[str, str] = field(default_factory=dict)
    remaining: int | None = None
    tightening: Tightening = LOOSE
    emit: EmitMode = EmitMode.FINAL
    min_interval: int = 0
    trace: Trace = Trace()
    headers: tuple[tuple[str, str], ...] = ()
    wire: bytes | None = None
    critical: bool = True
    inherited: AttemptKind = AttemptKind.FIRST
    shadow: bool = False
    idempotency_key: str = ""
    faults: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    method: str = ""


class Refusal(NamedTuple):
    """Why a call does not end with OK: code, UPPER_SNAKE reason, message, ErrorInfo metadata.

    `pushback` in ms: None = say nothing, negative = do not retry.
    """

    code: Code
    reason: str
    message: str
    metadata: tuple[tuple[str, str], ...] = ()
    pushback: int | None = None
