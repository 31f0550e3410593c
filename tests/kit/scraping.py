"""Reading /metrics as Prometheus does, over HTTP, in either of its two formats."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import Final

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"


class Scraped:
    """One scrape."""

    def __init__(self, families: list[Metric]) -> None:
        self.families = {family.name: family for family in families}

    def value(self, sample: str, **labels: str) -> float:
        """The only sample of this name with exactly these labels; 0 if there is none, as for a counter never touched."""
        return self.series(sample).get(frozenset(labels.items()), 0.0)

    def series(self, sample: str) -> Mapping[frozenset[tuple[str, str]], float]:
        """All samples of this name, by their labels."""
        return {
            frozenset(one.labels.items()): one.value
            for family in self.families.values()
            for one in family.samples
            if one.name == sample
        }


async def scrape(port: int, *, openmetrics: bool = False) -> Scraped:
    """Ask once; AssertionError unless it answers 200 in the format asked for."""
    return await asyncio.to_thread(_scrape, port, openmetrics=openmetrics)


def _scrape(port: int, *, openmetrics: bool) -> Scraped:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics", headers={"Accept": OPENMETRICS if openmetrics else "text/plain"})
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == 200, text
        assert str(answer.headers["Content-Type"]).startswith("application/openmetrics-text" if openmetrics else "text/plain")
    finally:
        connection.close()
    return Scraped(list((parse_openmetrics if openmetrics else parse_text)(text)))
