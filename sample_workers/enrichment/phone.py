"""What a phone number says by itself: whether it can exist, where it belongs, which line it is.

By numbering plan only (libphonenumber's tables). Whether somebody answers is for a lookup at a carrier, which costs money and
is not offline; the confidence below leaves room for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NotRequired, TypedDict

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType, carrier, geocoder, timezone

from fanmesh.workers import Context, Fault, worker
from sample_workers.enrichment.answer import Answer, need

_LINES: Final[dict[int, str]] = {
    PhoneNumberType.FIXED_LINE: "fixed",
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "fixed_or_mobile",
    PhoneNumberType.TOLL_FREE: "toll_free",
    PhoneNumberType.PREMIUM_RATE: "premium_rate",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "company",
    PhoneNumberType.VOICEMAIL: "voicemail",
}
_UNPARSABLE: Final[dict[int, str]] = {
    NumberParseException.INVALID_COUNTRY_CODE: "no such country code, or national form without the contact's country",
    NumberParseException.NOT_A_NUMBER: "not a phone number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "too short after the international prefix",
    NumberParseException.TOO_SHORT_NSN: "too short",
    NumberParseException.TOO_LONG: "too long",
}


@dataclass(frozen=True, slots=True)
class PhoneIn:
    """`country` is the one the contact claims; only a number in national form needs it."""

    phone: str = ""
    country: str = ""


class PhoneFacts(TypedDict):
    """`e164` as dialled from anywhere; `location` in English, as exact as the numbering plan allows; empty = unknown."""

    e164: str
    international: str
    valid: bool
    line: str
    location: str
    carrier: str
    timezones: list[str]


class PhoneOut(TypedDict):
    """No `country` if the number is invalid or belongs to none (satellite and international freephone numbers)."""

    country: NotRequired[str]
    phone: PhoneFacts
    tags: list[str]


def lookup(q: PhoneIn) -> Answer[PhoneOut]:
    """Facts about the number, also of one that cannot exist (`valid: false`).

    Confidence: 0.95 for a valid number; × 0.9 if several regions share its country code (+1, +7, +44 …), where blocks move
    between regions; × 0.8 if written in national form, since its country then only repeats the claim; 0.2 if invalid.
    Raises INVALID_ARGUMENT if there is no number to be read.
    """
    text = need("phone", q.phone)
    try:
        number = phonenumbers.parse(text, q.country.strip().upper() or None)
    except NumberParseException as unreadable:
        raise Fault.invalid_argument(f"phone: {_UNPARSABLE[unreadable.error_type]}") from None
    valid = phonenumbers.is_valid_number(number)
    region = phonenumbers.region_code_for_number(number)
    line = _LINES.get(phonenumbers.number_type(number), "unknown")
    out = PhoneOut(
        phone=PhoneFacts(
            e164=phonenumbers.format_number(number, PhoneNumberFormat.E164),
            international=phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL),
            valid=valid,
            line=line,
            location=geocoder.description_for_number(number, "en") if valid else "",
            carrier=carrier.name_for_number(number, "en") if valid else "",
            timezones=list(timezone.time_zones_for_number(number)) if valid else [],
        ),
        tags=[f"phone:{line}"] if valid else ["phone:invalid"],
    )
    if valid and region is not None and region.isalpha():  # "001" stands for no region at all
        out["country"] = region
    return Answer(out, _confidence(number, valid=valid, national=not text.startswith("+")))


def _confidence(number: PhoneNumber, *, valid: bool, national: bool) -> float:
    if not valid:
        return 0.2
    sharing = len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(number.country_code or 0, ()))
    return round(0.95 * (0.9 if sharing > 1 else 1.0) * (0.8 if national else 1.0), 4)


@worker("phone")
def phone(q: PhoneIn, ctx: Context) -> PhoneOut:
    """The number's validity, country, line and carrier."""
    out, confidence = lookup(q)
    ctx.report(confidence=confidence, labels={"source": "libphonenumber"})
    return out


def warm() -> None:
    """Load the metadata and the prefix tables before the worker says that it serves."""
    lookup(PhoneIn(phone="+49 30 23125000"))
