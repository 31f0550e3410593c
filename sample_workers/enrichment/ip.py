"""Which country and which operator an IP address belongs to, from a table that ships with geoip2fast.

Special ranges are judged by the standard library before the table is asked: the table misreads some forms (an IPv4 address
mapped into IPv6, three octets instead of four) and knows only the IPv4 ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NotRequired, TypedDict

from geoip2fast import GeoIP2Fast

from fanmesh.workers import Context, Fault, worker
from sample_workers.enrichment.answer import Answer, need
from sample_workers.enrichment.once import once

# RFC 1918 and RFC 4193. `is_private` of the standard library means "not global" and covers documentation ranges and more.
_PRIVATE: Final = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
# RFC 6598: between a provider's customers and its own address translation.
_SHARED: Final = ip_network("100.64.0.0/10")


@dataclass(frozen=True, slots=True)
class IpIn:
    """IPv4 or IPv6, as text."""

    ip: str = ""


class IpFacts(TypedDict):
    """`scope`: public, private, shared, loopback, link_local, multicast or reserved. Network and operator only if public."""

    address: str
    version: int
    scope: str
    network: NotRequired[str]
    operator: NotRequired[str]


class IpOut(TypedDict):
    """`country` only for public addresses."""

    country: NotRequired[str]
    ip: IpFacts
    tags: list[str]


def _open() -> GeoIP2Fast:
    # By its full path: by bare name the library looks through the working directory first.
    return GeoIP2Fast(geoip2fast_data_file=str(files("geoip2fast") / "geoip2fast-asn-ipv6.dat.gz"))


table = once(_open)
warm = table
"""Run before the worker says that it serves: the first use of the table takes up to a second."""


def lookup(q: IpIn) -> Answer[IpOut]:
    """Country and operator of a public address, the scope of any other.

    Confidence: 0.9 for public IPv4; 0.8 for public IPv6, whose large blocks are more often registered at a headquarters; 1 for
    a special range, which a standard defines. Raises INVALID_ARGUMENT if it is no address, NOT_FOUND if no network holds it.
    """
    address = _parse(need("ip", q.ip))
    scope = _scope(address)
    facts = IpFacts(address=str(address), version=address.version, scope=scope)
    if scope != "public":
        return Answer(IpOut(ip=facts, tags=[f"ip:{scope}"]), 1.0)
    row = table().lookup(str(address))
    if not row.country_code.isalpha():  # "--" or empty: not in the table
        raise Fault.not_found("ip")
    facts["network"], facts["operator"] = row.cidr, row.asn_name
    return Answer(IpOut(country=row.country_code, ip=facts, tags=[]), 0.9 if address.version == 4 else 0.8)


def _parse(text: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise Fault.invalid_argument("ip: not an IPv4 or IPv6 address") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _scope(address: IPv4Address | IPv6Address) -> str:
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link_local"
    if address.is_multicast:
        return "multicast"
    if any(address in network for network in _PRIVATE):
        return "private"
    if address in _SHARED:
        return "shared"
    return "public" if address.is_global else "reserved"


@worker("ip")
def ip(q: IpIn, ctx: Context) -> IpOut:
    """The address's country and operator."""
    out, confidence = lookup(q)
    ctx.report(confidence=confidence, labels={"source": "geoip2fast"})
    return out
