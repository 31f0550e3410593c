"""Whether a date is a public holiday where the contact lives, and when work goes on.

Nation-wide holidays only: a country code says nothing about the state or canton. The answer repeats the claimed country, so
it keeps it among its own facts: at top level it would look like evidence for the claim.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final, NotRequired, TypedDict

from holidays import HolidayBase, country_holidays, list_supported_countries

from fanmesh.workers import Context, Fault, worker
from sample_workers.enrichment.answer import Answer, need, need_date

_COUNTRIES: Final = frozenset(list_supported_countries(include_aliases=False))
_YEARS: Final = (1990, 2100)  # before and after, several countries' rules are incomplete
_LANGUAGE: Final = "en_US"


@dataclass(frozen=True, slots=True)
class HolidayIn:
    """`date` as YYYY-MM-DD; `country` is the claimed one, ISO 3166-1 alpha-2."""

    date: str = ""
    country: str = ""


class NextHoliday(TypedDict):
    """The first holiday after the date."""

    date: str
    name: str


class HolidayFacts(TypedDict):
    """`business_day`: neither weekend nor holiday in that country. `next_business_day` lies after the date."""

    country: str
    date: str
    is_holiday: bool
    name: NotRequired[str]
    weekend: bool
    business_day: bool
    next_business_day: str
    next_holiday: NotRequired[NextHoliday]


class HolidayOut(TypedDict):
    """Tags: `holiday:today`, `holiday:weekend`."""

    holiday: HolidayFacts
    tags: list[str]


def lookup(q: HolidayIn) -> Answer[HolidayOut]:
    """The date in the country's calendar.

    Confidence: 0.95, since holidays of a part of the country are not seen; 0.7 if today's or the next holiday is an estimate
    (moon sightings). Raises INVALID_ARGUMENT for a missing or impossible date or country, NOT_FOUND for an unknown country.
    """
    day, country = _day(q.date), need("country", q.country).upper()
    if country not in _COUNTRIES:
        raise Fault.not_found(f"country: no calendar for {country}")
    calendar = _calendar(country, day.year)
    name, following = calendar.get(day), calendar.get_closest_holiday(day)
    facts = HolidayFacts(
        country=country,
        date=day.isoformat(),
        is_holiday=name is not None,
        weekend=calendar.is_weekend(day),
        business_day=calendar.is_working_day(day),
        next_business_day=calendar.get_nth_working_day(day, 1).isoformat(),
    )
    if name is not None:
        facts["name"] = name
    if following is not None:
        facts["next_holiday"] = NextHoliday(date=following[0].isoformat(), name=following[1])
    estimated = "estimated)" in f"{name} {following}"  # the library's mark: "(estimated)", "(observed, estimated)"
    tags = ["holiday:today"] * facts["is_holiday"] + ["holiday:weekend"] * facts["weekend"]
    return Answer(HolidayOut(holiday=facts, tags=tags), 0.7 if estimated else 0.95)


def _day(text: str) -> date:
    day = need_date("date", text)
    first, last = _YEARS
    if not first <= day.year <= last:
        raise Fault.invalid_argument(f"date: {day.year} is outside {first} to {last}")
    return day


@lru_cache(maxsize=512)
def _calendar(country: str, year: int) -> HolidayBase:
    """The year and the one after it, complete from the start.

    A calendar that grows on demand marks a year as present before it has filled it, so a second thread would read it half full.
    """
    languages = country_holidays(country).supported_languages
    return country_holidays(
        country, years=(year, year + 1), expand=False, language=_LANGUAGE if _LANGUAGE in languages else None
    )


@worker("holiday")
def holiday(q: HolidayIn, ctx: Context) -> HolidayOut:
    """Whether the date is a holiday or a business day."""
    out, confidence = lookup(q)
    ctx.report(confidence=confidence, labels={"source": "holidays"})
    return out


def warm() -> None:
    """Load the first calendar before the worker says that it serves."""
    _calendar("DE", 2024)
