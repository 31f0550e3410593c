"""The contacts of the scenario: made up for it, several broken on purpose; `about` says how.

A file and not code, so that a shell and clients in other languages send the same ones.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Required, TypedDict, cast


class Contact(TypedDict, total=False):
    """What a form or a partner's file would hold. Absent = not given. Every worker picks the fields that it knows."""

    id: Required[str]
    about: Required[str]
    name: Required[str]
    phone: str
    email: str
    ip: str
    lat: float
    lon: float
    tax_id: str
    iban: str
    date: str
    currency: str
    amount: float
    country: str


def load() -> tuple[Contact, ...]:
    """All contacts, in the file's order."""
    return tuple(cast("list[Contact]", json.loads((files(__package__) / "contacts.json").read_text("utf-8"))))


def by_id() -> dict[str, Contact]:
    """The contacts by `id`."""
    return {contact["id"]: contact for contact in load()}
