"""What an amount is worth in euro, by the European Central Bank's reference rates of that day.

Fixings exist for business days only. The library can interpolate the others, which gives a rate that nobody ever published;
here the last published one counts, as banks do it, and the answer says which day that was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, TypedDict

from currency_converter import CurrencyConverter, RateNotFoundError

from fanmesh.workers import Context, Fault, worker
from sample_workers.enrichment.answer import Answer, need, need_date
from sample_workers.enrichment.once import once

_STALE: Final = 31  # days; an older rate belongs to a currency that is no longer quoted
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class RatesIn:
    """`currency` as ISO 4217; `date` as YYYY-MM-DD. A negative amount is a refund."""

    amount: float | None = None
    currency: str = ""
    date: str = ""


class RatesFacts(TypedDict):
    """`eur` rounded half even to the cent; `rate` is units of the currency for one euro, fixed on `rate_date`."""

    amount: float
    currency: str
    eur: float
    rate: float
    rate_date: str


class RatesOut(TypedDict):
    """Tag `rates:old`: the fixing is older than a long weekend."""

    rates: RatesFacts
    tags: list[str]


def _load() -> CurrencyConverter:
    return CurrencyConverter(decimal=True)


fixings = once(_load)
warm = fixings
"""Run before the worker says that it serves: the first use of the table takes up to a second."""


def lookup(q: RatesIn) -> Answer[RatesOut]:
    """The amount in euro by the last fixing on or before the date.

    Confidence: 1 − 0.01 for each day between fixing and date. Raises INVALID_ARGUMENT for a missing or impossible amount,
    currency or date, NOT_FOUND for a currency without a fixing in the 31 days up to that date.
    """
    amount, currency, day = _amount(q.amount), need("currency", q.currency).upper(), need_date("date", q.date)
    if currency not in fixings().currencies:
        raise Fault.not_found(f"currency: no reference rate for {currency}")
    rate, fixed = _last_fixing(currency, day)
    age = (day - fixed).days
    facts = RatesFacts(
        amount=float(amount),
        currency=currency,
        eur=float((amount / rate).quantize(_CENT, ROUND_HALF_EVEN)),
        rate=float(rate),
        rate_date=fixed.isoformat(),
    )
    return Answer(RatesOut(rates=facts, tags=["rates:old"] if age > 4 else []), round(1.0 - age / 100, 2))


def _last_fixing(currency: str, day: date) -> tuple[Decimal, date]:
    for age in range(_STALE + 1):
        fixed = day - timedelta(days=age)
        try:
            rate: Decimal = fixings().convert(1, "EUR", currency, date=fixed)
        except RateNotFoundError:
            continue
        return rate, fixed
    raise Fault.not_found(f"currency: no reference rate for {currency} in the {_STALE} days up to {day}")


def _amount(value: float | None) -> Decimal:
    if value is None:
        raise Fault.invalid_argument("amount: missing")
    if not math.isfinite(value) or abs(value) >= 1e15:  # above, a double no longer holds cents
        raise Fault.invalid_argument("amount: not a number of less than 15 digits")
    return Decimal(str(value))


@worker("rates")
def rates(q: RatesIn, ctx: Context) -> RatesOut:
    """The amount in euro."""
    out, confidence = lookup(q)
    ctx.report(confidence=confidence, labels={"source": "ECB reference rates"})
    return out
