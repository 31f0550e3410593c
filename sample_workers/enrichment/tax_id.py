"""Whether a tax number or an IBAN can be right, and which country issued it, by format and check digits.

Registers (VIES and the like) are not asked: they are online and rate-limited. A wrong number is an answer here, not an error:
that it is wrong is what one wants to know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import ModuleType
from typing import Final, NotRequired, TypedDict, cast

from stdnum import get_cc_module
from stdnum import iban as ibans
from stdnum.eu import vat
from stdnum.exceptions import InvalidChecksum, InvalidComponent, InvalidFormat, InvalidLength, ValidationError
from stdnum.util import NumberValidationModule

from fanmesh.workers import Context, Fault, worker
from sample_workers.enrichment.answer import Answer

_ISO: Final = {"EL": "GR", "XI": "GB"}  # VAT prefixes that are not ISO 3166-1: Greece, Northern Ireland
_PREFIXES: Final = frozenset({"EL"} | {state.upper() for state in vat.MEMBER_STATES})
_IBAN: Final = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")  # ISO 13616
_PROBLEMS: Final[dict[type[Exception], str]] = {
    InvalidLength: "length",
    InvalidFormat: "format",
    InvalidChecksum: "checksum",
    InvalidComponent: "component",
}


@dataclass(frozen=True, slots=True)
class TaxIdIn:
    """At least one of `tax_id` and `iban`. `country` is the claimed one; only a number without prefix needs it."""

    tax_id: str = ""
    iban: str = ""
    country: str = ""


class NumberFacts(TypedDict):
    """`kind`: `eu_vat`, `iban`, or the issuing country's own name for it (`br_cnpj`). `problem` only if invalid."""

    kind: str
    number: str
    valid: bool
    issuer: NotRequired[str]
    problem: NotRequired[str]


class TaxIdOut(TypedDict):
    """`country` is that of the tax number, or of the IBAN if there is no valid tax number; none if neither is valid."""

    country: NotRequired[str]
    tax_id: NotRequired[NumberFacts]
    iban: NotRequired[NumberFacts]
    tags: list[str]


def lookup(q: TaxIdIn) -> Answer[TaxIdOut]:
    """Kind, validity and issuer of both numbers.

    Confidence: 0.95 if the number that gives the country names it itself (VAT prefix, IBAN); 0.8 if the check digits fit the
    claimed country's scheme, as one wrong number in about ten would; 0.2 if no number is valid.
    Raises INVALID_ARGUMENT if both are missing, or if `tax_id` is of no kind known here.
    """
    tax_id, iban = q.tax_id.strip(), q.iban.strip()
    numbers: list[NumberFacts] = []
    out = TaxIdOut(tags=[])
    if tax_id:
        out["tax_id"] = _tax_id(tax_id, q.country.strip().upper())
        numbers.append(out["tax_id"])
        out["tags"] += [f"tax_id:{problem}" for problem in _problems(out["tax_id"])]
    if iban:
        out["iban"] = _check("iban", ibans, iban, iban[:2].upper())
        numbers.append(out["iban"])
        out["tags"] += [f"iban:{problem}" for problem in _problems(out["iban"])]
    if not numbers:
        raise Fault.invalid_argument("tax_id: missing")
    valid = [facts for facts in numbers if "issuer" in facts]
    if not valid:
        return Answer(out, 0.2)
    if valid[0]["issuer"] != valid[-1]["issuer"]:
        out["tags"].append("iban:foreign")
    out["country"] = valid[0]["issuer"]
    return Answer(out, 0.95 if valid[0]["kind"] in {"eu_vat", "iban"} else 0.8)


def _tax_id(text: str, claimed: str) -> NumberFacts:
    """The number by the scheme it belongs to.

    A prefix decides, unless the number is a valid one of a claimed country outside the Union: a Mexican RFC may begin with ES.
    """
    number = re.sub(r"[\s.]", "", text.upper())
    scheme = get_cc_module(claimed, "vat") or get_cc_module(claimed, "tin") if claimed else None
    outside = claimed not in _PREFIXES and scheme is not None and scheme.is_valid(text)
    if number[:2] in _PREFIXES and not outside:
        return _check("eu_vat", vat, text, _ISO.get(number[:2], number[:2]))
    if scheme is not None:
        module = cast("ModuleType", scheme).__name__  # stdnum.br.cnpj, stdnum.in_.gstin
        kind = f"{claimed.lower()}_{module.rpartition('.')[2]}"
        return _check(kind, scheme, text, claimed)
    if _IBAN.fullmatch(number):
        return _check("iban", ibans, text, number[:2])
    raise Fault.invalid_argument("tax_id: neither an EU VAT number nor an IBAN, and no scheme is known for the claimed country")


def _check(kind: str, scheme: NumberValidationModule, text: str, issuer: str) -> NumberFacts:
    try:
        return NumberFacts(kind=kind, number=scheme.validate(text), valid=True, issuer=issuer)
    except ValidationError as wrong:
        problem = next((name for error, name in _PROBLEMS.items() if isinstance(wrong, error)), "format")
        return NumberFacts(kind=kind, number=text, valid=False, problem=problem)


def _problems(facts: NumberFacts) -> list[str]:
    return [facts["problem"]] if "problem" in facts else []


@worker("tax_id")
def tax_id(q: TaxIdIn, ctx: Context) -> TaxIdOut:
    """Validity and issuer of the tax number and the IBAN."""
    out, confidence = lookup(q)
    ctx.report(confidence=confidence, labels={"source": "python-stdnum"})
    return out
