import json
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from importlib.resources import files
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from fanmesh.model.fault import Code, Fault
from sample_workers.enrichment import email, holiday, ip, phone, place, rates, records, tax_id


class Worker(NamedTuple):
    """A lookup and what it takes."""

    lookup: Callable[[Any], Any]
    takes: type


WORKERS = {
    "phone": Worker(phone.lookup, phone.PhoneIn),
    "tax_id": Worker(tax_id.lookup, tax_id.TaxIdIn),
    "place": Worker(place.lookup, place.PlaceIn),
    "ip": Worker(ip.lookup, ip.IpIn),
    "email": Worker(email.lookup, email.EmailIn),
    "holiday": Worker(holiday.lookup, holiday.HolidayIn),
    "rates": Worker(rates.lookup, rates.RatesIn),
}
CONTACTS = records.by_id()


def ask(name: str, contact: records.Contact) -> dict[str, Any] | Fault:
    worker = WORKERS[name]
    known = {field.name for field in fields(worker.takes)}
    try:
        output, confidence = worker.lookup(worker.takes(**{key: value for key, value in contact.items() if key in known}))
    except Fault as fault:
        return fault
    assert 0 <= confidence <= 1
    return dict(output)


def countries(contact: records.Contact) -> dict[str, str]:
    answers = {name: ask(name, contact) for name in WORKERS}
    return {name: out["country"] for name, out in answers.items() if isinstance(out, dict) and "country" in out}


def missing(contact: records.Contact) -> set[str]:
    """Workers for which the contact has nothing at all."""
    needs = {"phone": {"phone"}, "tax_id": {"tax_id", "iban"}, "place": {"lat", "lon"}, "ip": {"ip"}, "email": {"email"},
             "holiday": {"date", "country"}, "rates": {"amount"}}  # fmt: skip
    return {name for name, any_of in needs.items() if not any_of & contact.keys()}


def test_there_are_a_few_dozen_with_ids_of_their_own() -> None:
    """The ids are what tests and the README speak of."""
    assert len(CONTACTS) == len(records.load()) == 38


@pytest.mark.parametrize("contact", records.load(), ids=lambda contact: contact["id"])
def test_every_worker_answers_every_contact_with_json_or_a_fatal_fault(contact: records.Contact) -> None:
    """Nothing but JSON values and classified faults leaves a lookup, whatever comes in; only tags and country are shared."""
    for name in WORKERS:
        match ask(name, contact):
            case Fault() as fault:
                assert fault.code in {Code.INVALID_ARGUMENT, Code.NOT_FOUND}
                assert not fault.retryable
            case out:
                assert json.loads(json.dumps(out, allow_nan=False)) == out
                assert out.keys() - {"country", "tags", "iban"} == {name} or (name, "iban" in out) == ("tax_id", True)
                assert out.get("country", "XX").isalpha()


@pytest.mark.parametrize(
    "contact", [each for each in records.load() if each["about"].startswith("sound")], ids=lambda contact: contact["id"]
)
def test_a_sound_contact_is_agreed_on_by_all(contact: records.Contact) -> None:
    """Every worker that has its field answers, and whoever names a country names the claimed one."""
    answered = {name for name in WORKERS if isinstance(ask(name, contact), dict)}
    assert answered == WORKERS.keys() - missing(contact)
    assert set(countries(contact).values()) == {contact["country"]}


@pytest.mark.parametrize(
    ("contact", "found"),
    [
        ("c22", {"phone": "DE", "place": "DE", "ip": "FR"}),
        ("c23", {"phone": "PL", "place": "PL", "ip": "PL"}),
        ("c24", {"phone": "NG", "tax_id": "DE", "place": "GB", "ip": "NL"}),
        ("c26", {"phone": "DE", "place": "CH", "ip": "CH"}),
    ],
)
def test_a_contradictory_contact_is_placed_in_several_countries(contact: str, found: dict[str, str]) -> None:
    """What the deep merge then reports as conflicts; c23's evidence agrees and contradicts only the claim."""
    assert countries(CONTACTS[contact]) == found
    assert set(found.values()) != {CONTACTS[contact]["country"]}


@pytest.mark.parametrize(
    ("contact", "worker", "fault"),
    [
        ("c27", "phone", "INVALID_ARGUMENT: phone: not a phone number"),
        ("c30", "email", "INVALID_ARGUMENT: email: "),
        ("c33", "place", "NOT_FOUND: place: the nearest town is "),
        ("c34", "rates", "NOT_FOUND: currency: no reference rate for XBT"),
        ("c35", "rates", "NOT_FOUND: currency: no reference rate for RUB in the 31 days up to 2024-09-24"),
        ("c36", "place", "INVALID_ARGUMENT: lat: -99.1332 is outside [-90, 90]"),
        ("c36", "holiday", "INVALID_ARGUMENT: date: "),
        ("c38", "ip", "INVALID_ARGUMENT: ip: "),
    ],
)
def test_a_broken_field_fails_its_own_worker(contact: str, worker: str, fault: str) -> None:
    """The fault names the field; the other workers' answers are in the tests above."""
    assert str(ask(worker, CONTACTS[contact])).startswith(fault)


@pytest.mark.parametrize(
    ("contact", "worker", "tag"),
    [
        ("c24", "email", "email:disposable"),
        ("c25", "tax_id", "iban:foreign"),
        ("c28", "phone", "phone:invalid"),
        ("c29", "email", "email:disposable"),
        ("c31", "ip", "ip:private"),
        ("c32", "tax_id", "tax_id:checksum"),
        ("c35", "email", "email:role"),
        ("c37", "ip", "ip:reserved"),
    ],
)
def test_a_suspicious_field_is_an_answer_with_a_tag(contact: str, worker: str, tag: str) -> None:
    """What is wrong with it is what one wanted to know."""
    out = ask(worker, CONTACTS[contact])
    assert isinstance(out, dict)
    assert tag in out["tags"]


def test_workers_take_only_fields_that_a_contact_has() -> None:
    """A misspelt input field would be missing in every request."""
    taken = {field.name for worker in WORKERS.values() for field in fields(worker.takes)}
    assert taken <= records.Contact.__annotations__.keys()


def test_the_configuration_starts_exactly_the_workers_it_calls() -> None:
    """Every `dev` entry exists in code, and every worker and branch has one."""
    config = YAML(typ="safe").load((files("sample_workers.enrichment") / "fanmesh.yaml").read_text("utf-8"))
    assert config["workers"].keys() == config["dev"].keys() == WORKERS.keys()
    for target in config["dev"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(import_module(module), function))
    for plan in config["plans"].values():
        assert plan["branches"].keys() <= WORKERS.keys()
