"""Faults that are put in on purpose, for one attempt: a delay, an error, both or neither.

Decided here and acted on in the innermost layer, so that to retries, hedges and breakers they look like the network. The
numbers are a hash of the seed and a counter, not drawn from a generator: a run can be repeated, and one attempt's numbers do
not depend on how many others asked in between. Source: Envoy's fault filter, and gRPC A33.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from dispatcher.model.policy import FaultRule
from fanmesh.model.fault import Code
from fanmesh.model.times import MS

DELAY_HEADER: Final = "fanmesh-fault-delay-ms"
ABORT_HEADER: Final = "fanmesh-fault-abort-code"

DIGITS: Final = 9
"""Longest number that is read: a delay of eleven days is enough, and no number is too large for a timer."""

Headers: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]


class Injection(NamedTuple):
    """Wait for `delay` ns, then end with `abort` instead of calling; None = call."""

    delay: int
    abort: Code | None


NOTHING: Final = Injection(0, None)

_MASK: Final = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15
_HALF: Final = 1 << 32


def draw(rule: FaultRule, counter: int) -> tuple[float, float]:
    """Two numbers in [0, 1), the same for the same seed and counter in every run and process. `counter`: of attempts, ≥ 0."""
    mixed = _mix(_mix(rule.seed) + counter * _STEP)
    return (mixed >> 32) / _HALF, (mixed & (_HALF - 1)) / _HALF


def inject(rule: FaultRule, headers: Headers, u: float, v: float) -> Injection:
    """What to do to this attempt. `u` decides about the delay and `v` about the abort, both in [0, 1).

    With `rule.headers` the caller may say which delay (ms, at most nine digits) and which code (name or number), in place of
    the rule's and no more often than its shares. A value that cannot be read is ignored, as if it had not been sent: a test
    header must not fail a request in a way that nobody configured. Without `rule.headers` they do nothing. Code OK is no abort:
    a rule with `delay` 0 or `abort_code` OK puts that fault into requests that ask for it, and into no other.
    """
    late, lost = u < rule.delay_share, v < rule.abort_share
    if not late and not lost:
        return NOTHING
    delay, code = rule.delay, rule.abort_code
    if rule.headers:
        if (asked := _number(_value(headers, DELAY_HEADER))) is not None:
            delay = asked * MS
        code = _code(_value(headers, ABORT_HEADER), code)
    return Injection(delay if late else 0, code if lost and code is not Code.OK else None)


def _mix(value: int) -> int:
    """The output function of splitmix64: every bit of the result depends on every bit of `value`."""
    value = (value + _STEP) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def _value(headers: Headers, name: str) -> str:
    """The first value of that name; empty if there is none."""
    if isinstance(headers, Mapping):
        return headers.get(name, "")
    return next((value for key, value in headers if key == name), "")


def _number(text: str) -> int | None:
    """Digits only: int() would take signs, blanks and underscores as well."""
    return int(text) if len(text) <= DIGITS and text.isascii() and text.isdigit() else None


def _code(text: str, default: Code) -> Code:
    number = _number(text)
    if number is None:
        return Code.__members__.get(text.upper(), default)
    try:
        return Code(number)
    except ValueError:
        return default
