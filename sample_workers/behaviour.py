"""How a worker misbehaves when it is asked to: latency and faults as a small language, drawn from a seed.

A demo that shows a soft timeout needs a worker that is slow exactly then, and a test that fails must fail again. Faults from
outside (`tc`, a proxy) need privileges or another process and do not replay. A worker that was not asked never draws a number.
Nothing here waits, talks or exits: `decide` says what to do, the server that calls it does it.

    behaviour := [worker ":"] clause {";" clause}
    clause    := "delay=" delay               of every call, before its outcome
               | "stragglers=" share "x" n    this share of calls takes n times the delay
               | outcome ["@" share]          shares add up to at most 100%; the rest is answered
    outcome   := "fail=" CODE                 ends with this gRPC status
               | "hang"                       never answers
               | "rubbish"                    answers with bytes that are not the message
               | "die"                        the process exits
               | "half-stream" ["=" parts]    sends so many parts (1), then breaks the stream
    delay     := time | "uniform(" from "," to ")" | "exponential(" mean ")" | "lognormal(" mean "," deviation ")"
    time      := number ("us" | "ms" | "s")        share := number "%"

`geo:hang`, or `delay=lognormal(5ms,2ms);stragglers=5%x10;fail=UNAVAILABLE@10%`.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, unique
from statistics import NormalDist
from typing import Final

from fanmesh.model.fault import Code
from fanmesh.model.times import MS, SECOND, US

_NORMAL: Final = NormalDist()
_UNITS: Final = {"us": US, "ms": MS, "s": SECOND}
_TIME: Final = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s)")
_SHARE: Final = re.compile(r"(\d+(?:\.\d+)?)%")
_STRAGGLERS: Final = re.compile(r"([^x]+)x(\d+(?:\.\d+)?)")
_CALL: Final = re.compile(r"(\w+)\((.*)\)")
_WORKER: Final = re.compile(r"([a-z][a-z0-9_]*):(.*)", re.DOTALL)
_LONGEST_NS: Final = 3600 * SECOND  # the tail of a distribution is cut here, so that a delay is always a plausible timer


class BehaviourError(ValueError):
    """A behaviour that cannot be read: names the token and what may stand there."""


@unique
class Outcome(Enum):
    """What becomes of a call."""

    OK = "ok"
    FAIL = "fail"
    HANG = "hang"
    RUBBISH = "rubbish"
    DIE = "die"
    HALF_STREAM = "half-stream"


@unique
class Shape(Enum):
    """Distribution of a delay, by its name in the language."""

    FIXED = "fixed"
    UNIFORM = "uniform"
    EXPONENTIAL = "exponential"
    LOGNORMAL = "lognormal"


@dataclass(frozen=True, slots=True)
class Delay:
    """`a` and `b` in ns: the value · from, to · mean · mean, standard deviation (of the delay, not of its logarithm)."""

    shape: Shape
    a: int
    b: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """An outcome and how many of all calls have it, in (0, 1]. `code` belongs to FAIL, `parts` ≥ 1 to HALF_STREAM."""

    outcome: Outcome
    share: float
    code: Code = Code.OK
    parts: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """One behaviour. The default one answers every call at once."""

    delay: Delay | None = None
    stragglers: float = 0.0
    factor: float = 1.0
    outcomes: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Act:
    """What to do with one call: wait `delay_ns`, then `outcome`."""

    delay_ns: int
    outcome: Outcome
    code: Code = Code.OK
    parts: int = 0


def decide(profile: Profile, u_delay: float, u_straggler: float, u_outcome: float) -> Act:
    """One decision from three uniform numbers in [0, 1). Each has one purpose: changing a share never moves a delay."""
    factor = profile.factor if u_straggler < profile.stragglers else 1.0
    wait = 0 if profile.delay is None else min(round(_quantile(profile.delay, u_delay) * factor), _LONGEST_NS)
    below = 0.0
    for share in profile.outcomes:
        below += share.share
        if u_outcome < below or below > 1 - 1e-9:  # shares that add up to 100% leave no gap for rounding
            return Act(wait, share.outcome, share.code, share.parts)
    return Act(wait, Outcome.OK)


def decisions(profile: Profile, seed: int, worker: str = "") -> Iterator[Act]:
    """An endless stream of decisions: the n-th call always gets the n-th. Workers with one seed differ by their name."""
    draw = random.Random(f"{seed}/{worker}").random
    while True:
        yield decide(profile, draw(), draw(), draw())


def parse_all(texts: Iterable[str]) -> dict[str, Profile]:
    """Profiles by worker; "" is for those not named. Raises `BehaviourError`, also for a worker named twice."""
    profiles: dict[str, Profile] = {}
    for text in texts:
        named = _WORKER.fullmatch(text.strip())
        worker, body = named.groups() if named else ("", text)
        if worker in profiles:
            raise BehaviourError(f"behaviour of {worker or 'all workers'}: given twice")
        profiles[worker] = parse(body)
    return profiles


def parse(text: str) -> Profile:
    """A profile from its clauses. Raises `BehaviourError`."""
    delay: Delay | None = None
    stragglers, factor = 0.0, 1.0
    outcomes: list[Share] = []
    seen: set[str] = set()
    for clause in (part.strip() for part in text.split(";")):
        name, _, value = clause.partition("=")
        if name in {"delay", "stragglers"}:
            if name in seen:
                raise BehaviourError(f"{clause!r}: {name} is given twice")
            seen.add(name)
        match name:
            case "delay":
                delay = _delay(value)
            case "stragglers":
                stragglers, factor = _stragglers(value)
            case _:
                outcomes.append(_outcome(clause))
    if (total := sum(each.share for each in outcomes)) > 1 + 1e-9:
        raise BehaviourError(f"{text!r}: outcomes add up to {total:.0%}; expected at most 100%")
    if stragglers and delay is None:
        raise BehaviourError(f"{text!r}: stragglers multiply a delay; expected delay=… as well")
    return Profile(delay, stragglers, factor, tuple(outcomes))


def _outcome(clause: str) -> Share:
    what, at, percent = clause.partition("@")
    share = _share(percent) if at else 1.0
    name, equals, value = what.partition("=")
    match name:
        case "fail":
            if value not in Code.__members__ or value == "OK":
                allowed = ", ".join(code.name for code in Code if code is not Code.OK)
                raise BehaviourError(f"{value!r} in {clause!r}: not a status code; expected one of {allowed}")
            return Share(Outcome.FAIL, share, code=Code[value])
        case "half-stream":
            if equals and not re.fullmatch(r"[1-9]\d{0,5}", value):
                raise BehaviourError(f"{value!r} in {clause!r}: not a number of parts; expected 1 or more")
            return Share(Outcome.HALF_STREAM, share, parts=int(value) if equals else 1)
        case "hang" | "rubbish" | "die" if not equals:
            return Share(Outcome(name), share)
        case _:
            known = "delay=…, stragglers=…, fail=CODE, hang, rubbish, die, half-stream"
            raise BehaviourError(f"{clause!r}: no such clause; expected one of {known}")


def _delay(text: str) -> Delay:
    call = _CALL.fullmatch(text)
    if call is None:
        return Delay(Shape.FIXED, _time(text))
    name, arguments = call[1], [_time(argument.strip()) for argument in call[2].split(",")]
    match name, arguments:
        case "uniform", [low, high] if low <= high:
            return Delay(Shape.UNIFORM, low, high)
        case "exponential", [mean]:
            return Delay(Shape.EXPONENTIAL, mean)
        case "lognormal", [mean, deviation] if mean > 0:
            return Delay(Shape.LOGNORMAL, mean, deviation)
        case _:
            forms = "a time, uniform(from,to), exponential(mean), lognormal(mean,deviation)"
            raise BehaviourError(f"{text!r}: not a delay; expected one of {forms}")


def _stragglers(text: str) -> tuple[float, float]:
    found = _STRAGGLERS.fullmatch(text)
    if found is None:
        raise BehaviourError(f"{text!r}: not stragglers; expected a share and a factor, as in 5%x10")
    return _share(found[1]), float(found[2])


def _share(text: str) -> float:
    found = _SHARE.fullmatch(text)
    if found is None or not 0 < float(found[1]) <= 100:
        raise BehaviourError(f"{text!r}: not a share; expected more than 0% and at most 100%, as in 5%")
    return float(found[1]) / 100


def _time(text: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise BehaviourError(f"{text!r}: not a time; expected a number with us, ms or s, as in 5ms")
    return round(float(found[1]) * _UNITS[found[2]])


def _quantile(delay: Delay, u: float) -> float:
    """The delay in ns that a share `u` of all delays stays below."""
    match delay.shape:
        case Shape.FIXED:
            return delay.a
        case Shape.UNIFORM:
            return delay.a + (delay.b - delay.a) * u
        case Shape.EXPONENTIAL:
            return -delay.a * math.log1p(-u)
        case Shape.LOGNORMAL:
            # Moments of the delay itself into those of its logarithm.
            variance = math.log1p((delay.b / delay.a) ** 2)
            z = _NORMAL.inv_cdf(min(max(u, 1e-12), 1 - 1e-12))
            return math.exp(math.log(delay.a) - variance / 2 + math.sqrt(variance) * z)
