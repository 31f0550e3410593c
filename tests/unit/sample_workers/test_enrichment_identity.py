import pytest

from fanmesh.model.fault import Code, Fault
from sample_workers.enrichment import email, phone, tax_id


def test_a_mobile_number_names_its_country_line_and_carrier() -> None:
    """+49 1512 was allotted to T-Mobile by the German regulator."""
    out, confidence = phone.lookup(phone.PhoneIn("+49 1512 3456789"))
    assert out["country"] == "DE"
    assert out["phone"]["e164"] == "+4915123456789"
    assert (out["phone"]["valid"], out["phone"]["line"], out["phone"]["carrier"]) == (True, "mobile", "T-Mobile")
    assert out["phone"]["timezones"] == ["Europe/Berlin"]
    assert confidence == 0.95


def test_a_fixed_line_names_its_town() -> None:
    """A geographic prefix is more exact than the country."""
    out, _ = phone.lookup(phone.PhoneIn("+33 1 42 68 53 00"))
    assert (out["country"], out["phone"]["line"]) == ("FR", "fixed")
    out, _ = phone.lookup(phone.PhoneIn("+39 02 1234 5678"))
    assert out["phone"]["location"] == "Milan"


def test_a_shared_country_code_lowers_the_confidence() -> None:
    """+1 is also Canada and much of the Caribbean, +44 the Channel Islands: 0.95 x 0.9."""
    assert phone.lookup(phone.PhoneIn("+44 121 234 5678")).confidence == 0.855
    out, confidence = phone.lookup(phone.PhoneIn("+1 201-555-0123"))
    assert (out["country"], confidence) == ("US", 0.855)
    assert phone.lookup(phone.PhoneIn("+1 876-210-1234")).output["country"] == "JM"


def test_a_national_number_is_read_with_the_claimed_country() -> None:
    """Its country only repeats the claim: 0.95 x 0.8."""
    out, confidence = phone.lookup(phone.PhoneIn("01 42 68 53 00", country="fr"))
    assert (out["country"], out["phone"]["e164"], confidence) == ("FR", "+33142685300", 0.76)


def test_a_number_of_no_country_has_none() -> None:
    """+800 is international freephone, which belongs to no region."""
    out, _ = phone.lookup(phone.PhoneIn("+800 1234 5678"))
    assert out["phone"]["valid"]
    assert "country" not in out


def test_a_number_that_cannot_exist_is_an_answer_without_country() -> None:
    """Readable but invalid: said so, at low confidence, and no evidence for a country."""
    out, confidence = phone.lookup(phone.PhoneIn("+45 12"))
    assert not out["phone"]["valid"]
    assert out["tags"] == ["phone:invalid"]
    assert ("country" in out, confidence) == (False, 0.2)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "phone: missing"),
        ("  ", "phone: missing"),
        ("call me maybe", "phone: not a phone number"),
        ("0151 2345678", "phone: no such country code, or national form without the contact's country"),
        ("+999 0", "phone: no such country code, or national form without the contact's country"),
        ("+49 1", "phone: too short"),
        ("+49 " + "1" * 30, "phone: too long"),
    ],
)
def test_an_unreadable_number_is_refused_with_the_reason(text: str, detail: str) -> None:
    """INVALID_ARGUMENT names the field and what is wrong with it."""
    with pytest.raises(Fault) as refused:
        phone.lookup(phone.PhoneIn(text))
    assert (refused.value.code, refused.value.detail) == (Code.INVALID_ARGUMENT, detail)


def test_an_address_is_normalised() -> None:
    """The domain is lower-cased, the local part keeps its case; the ASCII form is what DNS would be asked."""
    out, confidence = email.lookup(email.EmailIn(" Jane.Doe@EXAMPLE.com "))
    assert out["email"]["address"] == "Jane.Doe@example.com"
    assert (out["tags"], confidence) == ([], 0.8)
    out, _ = email.lookup(email.EmailIn("jürgen@müller.example.com"))
    assert out["email"]["ascii_domain"] == "xn--mller-kva.example.com"


@pytest.mark.parametrize("domain", ["mailinator.com", "inbox.mailinator.com", "Mailinator.COM"])
def test_a_disposable_provider_is_seen_below_its_domain_too(domain: str) -> None:
    """The list names registered domains only; their subdomains are just as disposable."""
    out, confidence = email.lookup(email.EmailIn(f"x@{domain}"))
    assert out["email"]["disposable"]
    assert (out["tags"], confidence) == (["email:disposable"], 0.3)


def test_a_domain_that_only_ends_like_a_disposable_one_is_not() -> None:
    """Labels are compared, not text."""
    assert not email.lookup(email.EmailIn("x@notmailinator.com.example.org")).output["email"]["disposable"]


def test_a_role_address_is_told_from_a_person() -> None:
    """RFC 2142 reserves such names for functions."""
    out, confidence = email.lookup(email.EmailIn("Support@example.org"))
    assert (out["email"]["role"], out["tags"], confidence) == (True, ["email:role"], 0.6)


@pytest.mark.parametrize("text", ["", "nobody", "a@@example.com", "a@localhost", "a b@example.com"])
def test_a_malformed_address_is_refused(text: str) -> None:
    """INVALID_ARGUMENT, and the field is named."""
    with pytest.raises(Fault, match=r"^INVALID_ARGUMENT: email: "):
        email.lookup(email.EmailIn(text))


def test_an_eu_vat_number_names_its_country() -> None:
    """The prefix is part of the number, so the claim is not needed, nor believed."""
    out, confidence = tax_id.lookup(tax_id.TaxIdIn("DE 136 695 976", country="US"))
    assert out["tax_id"] == {"kind": "eu_vat", "number": "DE136695976", "valid": True, "issuer": "DE"}
    assert (out["country"], out["tags"], confidence) == ("DE", [], 0.95)


@pytest.mark.parametrize(("number", "country"), [("EL094259216", "GR"), ("XI110305878", "GB")])
def test_vat_prefixes_outside_iso_become_iso_countries(number: str, country: str) -> None:
    """Greece files as EL, Northern Ireland as XI."""
    assert tax_id.lookup(tax_id.TaxIdIn(number)).output["country"] == country


def test_a_wrong_check_digit_is_an_answer_without_country() -> None:
    """An invalid number is no evidence for anything but a mistake."""
    out, confidence = tax_id.lookup(tax_id.TaxIdIn("DE136695977"))
    assert out["tax_id"] == {"kind": "eu_vat", "number": "DE136695977", "valid": False, "problem": "checksum"}
    assert (out["tags"], "country" in out, confidence) == (["tax_id:checksum"], False, 0.2)


@pytest.mark.parametrize(
    ("number", "claimed", "kind"),
    [("16.727.230/0001-97", "BR", "br_cnpj"), ("27AAPFU0939F1ZV", "IN", "in_gstin"), ("83 914 571 673", "AU", "au_abn")],
)
def test_a_number_without_prefix_is_read_by_the_claimed_countrys_scheme(number: str, claimed: str, kind: str) -> None:
    """Its check digits fit, so the claim is supported: 0.8."""
    out, confidence = tax_id.lookup(tax_id.TaxIdIn(number, country=claimed))
    assert (out["tax_id"]["kind"], out["tax_id"]["valid"], out["country"], confidence) == (kind, True, claimed, 0.8)


def test_a_valid_national_number_wins_over_a_prefix_it_only_looks_like() -> None:
    """A Mexican RFC begins with letters of a name, which may spell a VAT prefix."""
    rfc = "FIDE561231GR8"
    assert tax_id.lookup(tax_id.TaxIdIn(rfc, country="MX")).output["tax_id"]["kind"] == "mx_rfc"


def test_an_iban_alone_gives_the_country() -> None:
    """Where no tax number is given, or none is valid, the bank account's country counts."""
    out, confidence = tax_id.lookup(tax_id.TaxIdIn(iban="gb82 west 1234 5698 7654 32"))
    assert (out["country"], out["iban"]["number"], confidence) == ("GB", "GB82WEST12345698765432", 0.95)
    out, _ = tax_id.lookup(tax_id.TaxIdIn("DE136695977", iban="FR1420041010050500013M02606"))
    assert (out["country"], out["tags"]) == ("FR", ["tax_id:checksum"])


def test_an_iban_given_as_tax_number_is_recognised() -> None:
    """People mix them up; the country prefix NO is no VAT prefix of the Union."""
    out, _ = tax_id.lookup(tax_id.TaxIdIn("NO93 8601 1117 947"))
    assert (out["tax_id"]["kind"], out["country"]) == ("iban", "NO")


def test_a_foreign_bank_account_is_tagged() -> None:
    """The tax number decides the country; the tag says that the money is elsewhere."""
    out, _ = tax_id.lookup(tax_id.TaxIdIn("DE136695976", iban="GB82WEST12345698765432"))
    assert (out["country"], out["tags"]) == ("DE", ["iban:foreign"])


@pytest.mark.parametrize(("number", "claimed"), [("", ""), (" ", "DE"), ("12345", ""), ("12345", "ZZ")])
def test_no_number_or_an_unknown_kind_is_refused(number: str, claimed: str) -> None:
    """INVALID_ARGUMENT, and the field is named."""
    with pytest.raises(Fault, match=r"^INVALID_ARGUMENT: tax_id: "):
        tax_id.lookup(tax_id.TaxIdIn(number, country=claimed))
