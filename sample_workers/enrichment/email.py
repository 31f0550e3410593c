"""What an address says by itself: is it well formed, whose kind of address is it, does it come from a throw-away provider.

No DNS: the scenario runs offline, and a resolver inside a worker would make its latency somebody else's. It says nothing about
the country either: most national top-level domains in use (.io, .co, .ai, .me) are not used for their nation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict

from disposable_email_domains import blocklist
from email_validator import EmailNotValidError, validate_email

from fanmesh.workers import Context, Fault, worker
from sample_workers.enrichment.answer import Answer, need

# RFC 2142: mailboxes that stand for a function of an organisation, not for a person.
_ROLES: Final = frozenset(
    [
        "info",
        "marketing",
        "sales",
        "support",
        "abuse",
        "noc",
        "security",
        "postmaster",
        "hostmaster",
        "usenet",
        "news",
        "webmaster",
        "www",
        "uucp",
        "ftp",
    ]
)


@dataclass(frozen=True, slots=True)
class EmailIn:
    """The address as given."""

    email: str = ""


class EmailFacts(TypedDict):
    """`address` is normalised (NFC, lower-case domain); `ascii_domain` is what DNS would be asked."""

    address: str
    domain: str
    ascii_domain: str
    disposable: bool
    role: bool


class EmailOut(TypedDict):
    """Tags: `email:disposable`, `email:role`."""

    email: EmailFacts
    tags: list[str]


def lookup(q: EmailIn) -> Answer[EmailOut]:
    """Facts about a well-formed address.

    Confidence: 0.8, since a well-formed address need not exist; 0.6 if it stands for a role, which many read; 0.3 if the
    provider is disposable: nobody reads it tomorrow. Raises INVALID_ARGUMENT with the parser's reason if it is malformed.
    """
    try:
        parsed = validate_email(need("email", q.email), check_deliverability=False)
    except EmailNotValidError as malformed:
        raise Fault.invalid_argument(f"email: {malformed}") from None
    disposable = _disposable(parsed.ascii_domain)
    role = parsed.local_part.lower() in _ROLES
    out = EmailOut(
        email=EmailFacts(
            address=parsed.normalized,
            domain=parsed.domain,
            ascii_domain=parsed.ascii_domain,
            disposable=disposable,
            role=role,
        ),
        tags=["email:disposable"] * disposable + ["email:role"] * role,
    )
    return Answer(out, 0.3 if disposable else 0.6 if role else 0.8)


def _disposable(domain: str) -> bool:
    """The list holds registered domains; throw-away providers hand out names below them as well."""
    labels = domain.lower().split(".")
    return any(".".join(labels[start:]) in blocklist for start in range(len(labels) - 1))


@worker("email")
def email(q: EmailIn, ctx: Context) -> EmailOut:
    """The address normalised, and whether it is disposable or a role."""
    out, confidence = lookup(q)
    ctx.report(confidence=confidence, labels={"source": "email-validator"})
    return out
