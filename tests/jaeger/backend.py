"""The real Jaeger, in one process that keeps everything in memory, and what its API says of a trace.

Read through `/api/traces`, which is what its own pages read: what is not there cannot be seen by an operator either.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from tests.kit.otlp import free_port
from tests.kit.programs import ROOT
from tests.kit.waiting import until

BINARY: Final = ROOT / ".tools" / "bin" / "jaeger"
LISTENERS: Final = (
    "collector.otlp.grpc.host-port",
    "collector.otlp.http.host-port",
    "collector.grpc-server.host-port",
    "collector.http-server.host-port",
    "query.grpc-server.host-port",
    "query.http-server.host-port",
    "admin.http.host-port",
)
"""Every port that it would open; none may be open to other machines, or be somebody else's."""

PATIENCE: Final = 20.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a span. `at` in Unix µs."""

    name: str
    at: int
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """A span as Jaeger shows it: times are Unix µs, `parent` is empty for a root, `links` are span ids."""

    trace: str
    id: str
    parent: str
    name: str
    service: str
    tags: dict[str, Any]
    links: tuple[str, ...]
    events: tuple[Event, ...]
    warnings: tuple[str, ...]
    start: int
    end: int

    @property
    def kind(self) -> str:
        """client, server or internal."""
        return str(self.tags.get("span.kind", ""))

    @property
    def failed(self) -> bool:
        """Whether it is shown in red."""
        return self.tags.get("error") is True

    @property
    def code(self) -> str:
        """The gRPC status of the call."""
        return str(self.tags.get("rpc.response.status_code", ""))


@dataclass
class Trace:
    """All spans of a trace, and the JSON they were read from."""

    raw: Mapping[str, Any]
    spans: list[Span] = field(init=False)

    def __post_init__(self) -> None:
        services = {name: str(process["serviceName"]) for name, process in self.raw["processes"].items()}
        self.spans = [_span(raw, services) for raw in self.raw["spans"]]

    def named(self, start: str) -> list[Span]:
        """Spans whose name begins so."""
        return [span for span in self.spans if span.name.startswith(start)]

    def one(self, start: str) -> Span:
        """The only span whose name begins so."""
        (found,) = self.named(start)
        return found

    def below(self, span: Span) -> list[Span]:
        """Its children."""
        return [child for child in self.spans if child.parent == span.id]


class Jaeger:
    """`with Jaeger(tmp_path) as jaeger:`; point OTEL_EXPORTER_OTLP_ENDPOINT at `jaeger.endpoint`."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "jaeger.log"
        self._ports = {name: free_port() for name in LISTENERS}
        self._process: subprocess.Popen[bytes] | None = None
        self._opener = build_opener(ProxyHandler({}))
        self.endpoint = f"http://127.0.0.1:{self._ports['collector.otlp.grpc.host-port']}"

    def trace(self, trace_id: str) -> Trace | None:
        """One trace, as far as it is known; None if it is not."""
        found = self._get(f"/api/traces/{trace_id}")
        return Trace(found["data"][0]) if found else None

    def search(self, service: str, tags: Mapping[str, str]) -> set[str]:
        """Ids of the traces in which one span of `service` has all these tags: the search form, with `tags` in its field."""
        query = urlencode({"service": service, "tags": json.dumps(tags), "limit": 1000, "lookback": "1h"})
        return {trace["traceID"] for trace in (self._get(f"/api/traces?{query}") or {})["data"]}

    def services(self) -> set[str]:
        """Everybody who has sent spans."""
        return set((self._get("/api/services") or {})["data"])

    def _get(self, path: str) -> Any:
        port = self._ports["query.http-server.host-port"]
        try:
            with self._opener.open(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as reply:
                return json.load(reply)
        except HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from None

    def _up(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"Jaeger did not start: {self._log.read_text()[-2000:]}")
        try:
            self._get("/api/services")
        except URLError:
            return False
        return True

    def __enter__(self) -> Self:
        listen = [f"--{name}=127.0.0.1:{port}" for name, port in self._ports.items()]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([BINARY, *listen], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(self._up, "Jaeger to serve", PATIENCE)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _span(raw: Mapping[str, Any], services: Mapping[str, str]) -> Span:
    parents = [ref["spanID"] for ref in raw["references"] if ref["refType"] == "CHILD_OF"]
    assert len(parents) <= 1, f"{raw['operationName']} has {len(parents)} parents"
    assert {ref["traceID"] for ref in raw["references"]} <= {raw["traceID"]}, f"{raw['operationName']} refers to other traces"
    return Span(
        raw["traceID"],
        raw["spanID"],
        parents[0] if parents else "",
        raw["operationName"],
        services[raw["processID"]],
        _pairs(raw["tags"]),
        tuple(ref["spanID"] for ref in raw["references"] if ref["refType"] == "FOLLOWS_FROM"),
        tuple(_event(log) for log in raw["logs"]),
        tuple(raw["warnings"] or ()),
        raw["startTime"],
        raw["startTime"] + raw["duration"],
    )


def _event(log: Mapping[str, Any]) -> Event:
    fields = _pairs(log["fields"])
    return Event(str(fields.pop("event", "")), log["timestamp"], fields)


def _pairs(tags: list[dict[str, Any]]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in tags}
