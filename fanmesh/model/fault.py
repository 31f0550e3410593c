"""What can go wrong with a call, as one closed type.

A fault is classified once, where it enters (`dispatcher/wire`, or the worker that raises it), and everything above reads its
fields instead of looking at exceptions again. It is an exception class because workers raise it; the dispatcher passes it
around as a value and never does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, unique


@unique
class Code(IntEnum):
    """gRPC status codes, by their wire numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@unique
class FaultKind(Enum):
    """What sort of failure it is. Decides the branch's reason."""

    WORKER_ERROR = "worker_error"  # the worker answered with a status, or its process or connection failed
    LOCAL_TIMEOUT = "local_timeout"  # the attempt's own time ran out on our side
    INVALID_RESPONSE = "invalid_response"  # bytes that are not the message, or a value outside JSON
    TOO_LARGE = "too_large"  # over a size limit
    STREAM_BROKEN = "stream_broken"  # a stream failed after parts had arrived
    CANCELLED = "cancelled"  # we stopped it ourselves
    NO_TIME = "no_time"  # too little was left to start
    BREAKER_OPEN = "breaker_open"  # every endpoint's breaker is open
    OVERLOADED = "overloaded"  # a limit of ours is reached, and the queue is full
    RATE_LIMITED = "rate_limited"  # every endpoint has had its calls per second


REFUSALS = frozenset({FaultKind.BREAKER_OPEN, FaultKind.OVERLOADED, FaultKind.RATE_LIMITED})
"""Kinds that are our own refusal: nothing was sent, and no attempt was made."""


@unique
class Origin(Enum):
    """Who produced the fault."""

    WORKER = "worker"
    TRANSPORT = "transport"
    LOCAL = "local"


@dataclass(slots=True, eq=True)
class Fault(Exception):  # noqa: N818  (a noun of the domain, not only an exception)
    """One failure of one call.

    `retry_after` is the worker's pushback in milliseconds: None = none given, negative = do not retry. `retryable` says that
    another attempt may end otherwise; whether one is made is the attempt policy's business. `sent` is False only if the
    request certainly never left this process.
    """

    kind: FaultKind
    code: Code
    detail: str = ""
    origin: Origin = Origin.WORKER
    sent: bool = True
    retryable: bool = False
    retry_after: int | None = None

    def __post_init__(self) -> None:
        """Give the exception its arguments, for tracebacks and pickling."""
        Exception.__init__(self, self.kind, self.code, self.detail)

    __hash__ = Exception.__hash__

    def __str__(self) -> str:
        """`NOT_FOUND: ip`."""
        return f"{self.code.name}: {self.detail}" if self.detail else self.code.name

    @classmethod
    def of(cls, code: Code, detail: str = "") -> Fault:
        """A worker's own error. UNAVAILABLE invites another attempt, everything else is final."""
        return cls(FaultKind.WORKER_ERROR, code, detail, retryable=code is Code.UNAVAILABLE)

    @classmethod
    def invalid_argument(cls, detail: str) -> Fault:
        """The input is wrong; name the field. Never retried."""
        return cls.of(Code.INVALID_ARGUMENT, detail)

    @classmethod
    def not_found(cls, detail: str) -> Fault:
        """There is nothing under that key. Never retried."""
        return cls.of(Code.NOT_FOUND, detail)

    @classmethod
    def failed_precondition(cls, detail: str) -> Fault:
        """The world is not in the state the work needs. Never retried."""
        return cls.of(Code.FAILED_PRECONDITION, detail)

    @classmethod
    def permission_denied(cls, detail: str) -> Fault:
        """The request may not do that. Never retried."""
        return cls.of(Code.PERMISSION_DENIED, detail)

    @classmethod
    def unavailable(cls, detail: str = "") -> Fault:
        """Not now; another attempt may succeed."""
        return cls.of(Code.UNAVAILABLE, detail)

    @classmethod
    def resource_exhausted(cls, detail: str = "", retry_after_ms: int | None = None) -> Fault:
        """Over a limit. With `retry_after_ms` ≥ 0 the caller may come back after that time; negative: it must not."""
        fault = cls.of(Code.RESOURCE_EXHAUSTED, detail)
        fault.retry_after = retry_after_ms
        return fault

    @classmethod
    def internal(cls, detail: str = "") -> Fault:
        """A defect of the worker."""
        return cls.of(Code.INTERNAL, detail)
