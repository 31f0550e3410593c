"""Which town, region and country a coordinate lies in: the nearest of 145,000 towns.

The library's own way of loading leaves its file open and, should the file be missing, downloads one; handing it an open stream
avoids both. Its parallel mode forks one process per core and query, so the single-threaded tree is used. The tree measures in
degrees, which are shorter towards the poles; the distance to the town it names is therefore measured again on the sphere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, TypedDict

from reverse_geocoder import RGeocoder

from fanmesh.workers import Context, Fault, worker
from sample_workers.enrichment.answer import Answer
from sample_workers.enrichment.once import once

_EARTH_KM: Final = 6371.0088  # mean radius, IUGG
_REACH_KM: Final = 100.0  # beyond it the nearest town says nothing: open sea, or a desert of any country


@dataclass(frozen=True, slots=True)
class PlaceIn:
    """Degrees, WGS 84: `lat` in [-90, 90], `lon` in [-180, 180]."""

    lat: float | None = None
    lon: float | None = None


class PlaceFacts(TypedDict):
    """Names in ASCII as GeoNames gives them; `admin1` is the state or region, `admin2` the county; empty = none."""

    city: str
    admin1: str
    admin2: str
    distance_km: float


class PlaceOut(TypedDict):
    """Tag `place:remote`: the town is more than 50 km away, so a border may lie between."""

    country: str
    place: PlaceFacts
    tags: list[str]


def _load() -> RGeocoder:
    with (files("reverse_geocoder") / "rg_cities1000.csv").open(encoding="utf-8") as rows:
        return RGeocoder(mode=1, verbose=False, stream=rows)


towns = once(_load)
warm = towns
"""Run before the worker says that it serves: the first use of the table takes up to a second."""


def lookup(q: PlaceIn) -> Answer[PlaceOut]:
    """The nearest town within 100 km.

    Confidence: 1 − distance / 100 km. Raises INVALID_ARGUMENT for a missing or impossible coordinate, NOT_FOUND beyond 100 km.
    """
    lat, lon = _degrees("lat", q.lat, 90.0), _degrees("lon", q.lon, 180.0)
    (town,) = towns().query([(lat, lon)])
    distance = _haversine_km(lat, lon, float(town["lat"]), float(town["lon"]))
    if distance > _REACH_KM:
        raise Fault.not_found(f"place: the nearest town is {distance:.0f} km away")
    out = PlaceOut(
        country=town["cc"],
        place=PlaceFacts(city=town["name"], admin1=town["admin1"], admin2=town["admin2"], distance_km=round(distance, 1)),
        tags=["place:remote"] if distance > _REACH_KM / 2 else [],
    )
    return Answer(out, round(1.0 - distance / _REACH_KM, 4))


def _degrees(field: str, value: float | None, limit: float) -> float:
    if value is None:
        raise Fault.invalid_argument(f"{field}: missing")
    if not -limit <= value <= limit:  # also refuses NaN
        raise Fault.invalid_argument(f"{field}: {value:g} is outside [-{limit:g}, {limit:g}]")
    return float(value)


def _haversine_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    a, b = math.radians(lat1), math.radians(lat2)
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(h))


@worker("place")
def place(q: PlaceIn, ctx: Context) -> PlaceOut:
    """The coordinate's town, region and country."""
    out, confidence = lookup(q)
    ctx.report(confidence=confidence, labels={"source": "reverse-geocoder"})
    return out
