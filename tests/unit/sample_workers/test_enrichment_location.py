import pytest

from fanmesh.model.fault import Code, Fault
from sample_workers.enrichment import ip, place


@pytest.mark.parametrize(
    ("address", "country", "operator", "confidence"),
    [
        ("217.0.43.1", "DE", "Deutsche Telekom", 0.9),
        ("212.27.40.240", "FR", "Free SAS", 0.9),
        ("168.126.63.1", "KR", "Korea Telecom", 0.9),
        ("2a01:e00::1", "FR", "Free SAS", 0.8),
    ],
)
def test_a_public_address_names_country_and_operator(address: str, country: str, operator: str, confidence: float) -> None:
    """IPv6 is a little less certain: its blocks are registered at headquarters."""
    out, sure = ip.lookup(ip.IpIn(address))
    assert (out["country"], out["ip"]["scope"], sure) == (country, "public", confidence)
    assert out["ip"]["operator"].startswith(operator)
    assert "/" in out["ip"]["network"]


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("192.168.178.23", "private"),
        ("10.0.0.1", "private"),
        ("172.31.255.255", "private"),
        ("fd00::1", "private"),
        ("100.64.0.1", "shared"),
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("169.254.1.1", "link_local"),
        ("fe80::1", "link_local"),
        ("224.0.0.251", "multicast"),
        ("203.0.113.9", "reserved"),
        ("2001:db8::1", "reserved"),
        ("0.1.2.3", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::ffff:10.0.0.1", "private"),
    ],
)
def test_a_special_range_is_named_and_has_no_country(address: str, scope: str) -> None:
    """Each by its RFC; certain, because a standard says so."""
    out, sure = ip.lookup(ip.IpIn(address))
    assert (out["ip"]["scope"], out["tags"], sure) == (scope, [f"ip:{scope}"], 1.0)
    assert "country" not in out


def test_the_edges_of_the_private_range_are_public() -> None:
    """172.16/12 ends at 172.31; an address beyond it is looked up."""
    assert ip.lookup(ip.IpIn("172.32.0.1")).output["country"] == "US"


def test_an_ipv4_address_mapped_into_ipv6_is_that_ipv4_address() -> None:
    """The table on its own would call it a broadcast address."""
    assert ip.lookup(ip.IpIn("::ffff:217.0.43.1")) == ip.lookup(ip.IpIn("217.0.43.1"))


@pytest.mark.parametrize("text", ["", "not an ip", "1.2.3", "1.2.3.4/24", "1.2.3.256", "8.8.8.8:53"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """Three octets would be guessed at by the table."""
    with pytest.raises(Fault, match=r"^INVALID_ARGUMENT: ip: "):
        ip.lookup(ip.IpIn(text))


def test_a_public_address_in_no_network_is_not_found() -> None:
    """Global by the standard, held by nobody: a fault, not an empty answer."""
    with pytest.raises(Fault) as missing:
        ip.lookup(ip.IpIn("4000::1"))
    assert (missing.value.code, missing.value.detail) == (Code.NOT_FOUND, "ip")


@pytest.mark.parametrize(
    ("lat", "lon", "country", "admin1"),
    [
        (52.5200, 13.4050, "DE", "Berlin"),
        (-33.8688, 151.2093, "AU", "New South Wales"),
        (40.7357, -74.1724, "US", "New Jersey"),
        (0.3476, 32.5825, "UG", "Central Region"),
    ],
)
def test_a_coordinate_in_a_town_names_country_and_region(lat: float, lon: float, country: str, admin1: str) -> None:
    """All four quarters of the globe; inside a town the confidence is near 1."""
    out, sure = place.lookup(place.PlaceIn(lat, lon))
    assert (out["country"], out["place"]["admin1"], out["tags"]) == (country, admin1, [])
    assert sure > 0.9


def test_the_confidence_falls_with_the_distance() -> None:
    """1 - distance / 100 km; beyond 50 km a border may lie between, which the tag says."""
    out, sure = place.lookup(place.PlaceIn(65.0, 100.0))
    assert out["country"] == "RU"
    assert out["tags"] == ["place:remote"]
    assert 50 < out["place"]["distance_km"] < 100
    assert sure == pytest.approx(1 - out["place"]["distance_km"] / 100, abs=1e-3)


def test_degrees_of_longitude_shorten_towards_the_poles() -> None:
    """A degree is 111.195 km on the equator and along a meridian, half of that along the 60th parallel."""
    assert place._haversine_km(0, 0, 0, 1) == pytest.approx(111.195, abs=0.01)
    assert place._haversine_km(59, 7, 60, 7) == pytest.approx(111.195, abs=0.01)
    assert place._haversine_km(60, 0, 60, 1) == pytest.approx(55.6, abs=0.01)
    assert place._haversine_km(0, 179.5, 0, -179.5) == pytest.approx(111.195, abs=0.01)


@pytest.mark.parametrize(("lat", "lon"), [(30.0, -40.0), (-80.0, 0.0), (0.0, -150.0)])
def test_the_open_sea_and_the_pole_are_nowhere(lat: float, lon: float) -> None:
    """The nearest town is no answer when it is a thousand kilometres away."""
    with pytest.raises(Fault, match=r"^NOT_FOUND: place: the nearest town is \d+ km away$"):
        place.lookup(place.PlaceIn(lat, lon))


@pytest.mark.parametrize(
    ("lat", "lon", "detail"),
    [
        (None, 1.0, "lat: missing"),
        (1.0, None, "lon: missing"),
        (-99.1332, 19.4326, "lat: -99.1332 is outside [-90, 90]"),
        (0.0, 181.0, "lon: 181 is outside [-180, 180]"),
        (float("nan"), 0.0, "lat: nan is outside [-90, 90]"),
    ],
)
def test_an_impossible_coordinate_is_refused(lat: float | None, lon: float | None, detail: str) -> None:
    """Swapped ones often are; the field is named."""
    with pytest.raises(Fault) as refused:
        place.lookup(place.PlaceIn(lat, lon))
    assert (refused.value.code, refused.value.detail) == (Code.INVALID_ARGUMENT, detail)
