import threading

import pytest

from fanmesh.model.fault import Code, Fault
from sample_workers.enrichment import holiday, rates
from sample_workers.enrichment.once import once


def test_a_public_holiday_is_named_and_is_no_business_day() -> None:
    """3 October in Germany; it was a Thursday, the Friday after it was worked."""
    out, confidence = holiday.lookup(holiday.HolidayIn("2024-10-03", "de"))
    assert out["holiday"] == {
        "country": "DE",
        "date": "2024-10-03",
        "is_holiday": True,
        "name": "German Unity Day",
        "weekend": False,
        "business_day": False,
        "next_business_day": "2024-10-04",
        "next_holiday": {"date": "2024-12-25", "name": "Christmas Day"},
    }
    assert (out["tags"], confidence) == (["holiday:today"], 0.95)


def test_the_same_day_is_worked_in_the_country_next_door() -> None:
    """The contact's country decides."""
    assert holiday.lookup(holiday.HolidayIn("2024-10-03", "FR")).output["holiday"]["business_day"]


def test_the_next_business_day_crosses_weekend_and_new_year() -> None:
    """From Friday 30 December 2022: Saturday, Sunday (also New Year's Day), then in Britain a substitute Monday."""
    assert holiday.lookup(holiday.HolidayIn("2022-12-30", "GB")).output["holiday"]["next_business_day"] == "2023-01-03"
    assert holiday.lookup(holiday.HolidayIn("2022-12-30", "DE")).output["holiday"]["next_business_day"] == "2023-01-02"


def test_the_next_holiday_may_lie_in_the_next_year() -> None:
    """After Christmas comes New Year."""
    following = holiday.lookup(holiday.HolidayIn("2024-12-26", "DE")).output["holiday"]["next_holiday"]
    assert following["date"] == "2025-01-01"


def test_the_weekend_is_the_countrys_own() -> None:
    """In Saudi Arabia Friday is the weekend and Sunday is not."""
    friday = holiday.lookup(holiday.HolidayIn("2024-03-01", "SA")).output
    sunday = holiday.lookup(holiday.HolidayIn("2024-03-03", "SA")).output
    assert (friday["holiday"]["weekend"], friday["tags"]) == (True, ["holiday:weekend"])
    assert sunday["holiday"]["business_day"]


@pytest.mark.parametrize("date", ["2090-04-02", "2090-04-04", "2090-09-06"])
def test_an_estimated_feast_lowers_the_confidence(date: str) -> None:
    """Moon sightings decide about feasts to come: on the day, on its substitute, and the day before."""
    assert holiday.lookup(holiday.HolidayIn(date, "NG")).confidence == 0.7


def test_the_claimed_country_is_no_evidence_for_itself() -> None:
    """`country` at top level would let a claim outvote what was found."""
    assert "country" not in holiday.lookup(holiday.HolidayIn("2024-10-03", "DE")).output


@pytest.mark.parametrize(
    ("date", "country", "code", "detail"),
    [
        ("", "DE", Code.INVALID_ARGUMENT, "date: missing"),
        ("2024-10-03", "", Code.INVALID_ARGUMENT, "country: missing"),
        ("2024-02-30", "DE", Code.INVALID_ARGUMENT, "date: not a date as YYYY-MM-DD"),
        ("1850-01-01", "DE", Code.INVALID_ARGUMENT, "date: 1850 is outside 1990 to 2100"),
        ("2024-10-03", "ZZ", Code.NOT_FOUND, "country: no calendar for ZZ"),
    ],
)
def test_a_date_or_country_that_cannot_be_is_refused(date: str, country: str, code: Code, detail: str) -> None:
    """The field is named; an unknown country is NOT_FOUND."""
    with pytest.raises(Fault) as refused:
        holiday.lookup(holiday.HolidayIn(date, country))
    assert (refused.value.code, refused.value.detail) == (code, detail)


def test_an_amount_is_converted_by_that_days_fixing() -> None:
    """The bank fixed 1.1039 dollars for a euro on 3 October 2024: 1250 / 1.1039 = 1132.35."""
    out, confidence = rates.lookup(rates.RatesIn(1250.0, "usd", "2024-10-03"))
    assert out["rates"] == {"amount": 1250.0, "currency": "USD", "eur": 1132.35, "rate": 1.1039, "rate_date": "2024-10-03"}
    assert (out["tags"], confidence) == ([], 1.0)


def test_on_a_sunday_the_fixing_of_friday_counts() -> None:
    """Not an interpolated rate that nobody published; one hundredth of confidence per day."""
    out, confidence = rates.lookup(rates.RatesIn(100.0, "USD", "2024-06-16"))
    friday, _ = rates.lookup(rates.RatesIn(100.0, "USD", "2024-06-14"))
    assert out == friday
    assert (out["rates"]["rate_date"], confidence) == ("2024-06-14", 0.98)


def test_euro_stay_euro_and_refunds_stay_negative() -> None:
    """The reference currency needs no fixing; the sign survives."""
    assert rates.lookup(rates.RatesIn(-480.5, "EUR", "2024-07-14")).output["rates"]["eur"] == -480.5


def test_a_currency_that_is_no_longer_quoted_is_not_found() -> None:
    """The rouble was last fixed on 1 March 2022; a month later its rate would be fiction."""
    last = rates.lookup(rates.RatesIn(1.0, "RUB", "2022-04-01"))
    assert (last.output["rates"]["rate_date"], last.output["tags"], last.confidence) == ("2022-03-01", ["rates:old"], 0.69)
    with pytest.raises(Fault, match=r"^NOT_FOUND: currency: no reference rate for RUB in the 31 days up to 2022-04-02$"):
        rates.lookup(rates.RatesIn(1.0, "RUB", "2022-04-02"))


@pytest.mark.parametrize(
    ("amount", "currency", "date", "code", "field"),
    [
        (None, "USD", "2024-06-14", Code.INVALID_ARGUMENT, "amount"),
        (float("inf"), "USD", "2024-06-14", Code.INVALID_ARGUMENT, "amount"),
        (1e15, "USD", "2024-06-14", Code.INVALID_ARGUMENT, "amount"),
        (1.0, "", "2024-06-14", Code.INVALID_ARGUMENT, "currency"),
        (1.0, "USD", "yesterday", Code.INVALID_ARGUMENT, "date"),
        (1.0, "XBT", "2024-06-14", Code.NOT_FOUND, "currency"),
        (1.0, "USD", "1998-12-31", Code.NOT_FOUND, "currency"),
    ],
)
def test_what_cannot_be_converted_is_refused(amount: float | None, currency: str, date: str, code: Code, field: str) -> None:
    """The field is named; what has no rate is NOT_FOUND."""
    with pytest.raises(Fault) as refused:
        rates.lookup(rates.RatesIn(amount, currency, date))
    assert (refused.value.code, refused.value.detail.partition(":")[0]) == (code, field)


def test_a_table_is_loaded_once_however_many_threads_ask() -> None:
    """Eight threads, released together while the first load is held, get one object."""
    loads: list[object] = []
    entered, gate = threading.Event(), threading.Event()

    def load() -> object:
        entered.set()
        assert gate.wait(10)
        loads.append(object())
        return loads[-1]

    get = once(load)
    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert len(loads) == 1
    assert got == loads * 8


def test_a_load_that_failed_is_tried_again() -> None:
    """A worker whose table could not be read once is not broken for ever."""
    answers = iter([OSError("busy"), "table"])

    def load() -> str:
        match next(answers):
            case OSError() as error:
                raise error
            case table:
                return str(table)

    get = once(load)
    with pytest.raises(OSError, match="busy"):
        get()
    assert get() == "table"
