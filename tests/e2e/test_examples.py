"""The callers in examples/: what the README tells a reader to type is typed here, and what they print is compared."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fanmesh.client import AsyncClient
from fanmesh.model.fault import Code
from fanmesh.workers import Worker
from sample_workers.enrichment import email, holiday, ip, phone, place, rates, tax_id
from tests.kit.examples import TOOLS, Note, plans_of, present, shell, succeeds, typed
from tests.kit.mesh import running
from tests.kit.programs import ROOT
from tests.kit.roles import Hanging

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

SERVED = "localhost:50050"
"""Where the README's dispatcher listens; here it is wherever there is room."""

ENRICHMENT: dict[str, Worker[Any]] = {
    "phone": phone.phone,
    "email": email.email,
    "tax_id": tax_id.tax_id,
    "ip": ip.ip,
    "place": place.place,
    "holiday": holiday.holiday,
    "rates": rates.rates,
}


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """What `make serve` serves, and a plan whose only worker never answers: where it listens."""
    phone.warm()
    plans = plans_of(ROOT / "sample_workers" / "enrichment" / "fanmesh.yaml", latency="40s", timeout="25s", soft_timeout="20s")
    hanging = Hanging()
    never = {"budget": {"latency": "30s"}, "branches": {"hangs": {}}}
    workers = {**ENRICHMENT, "hangs": hanging.worker}
    async with running(workers, {"enrich_contact": plans["enrich_contact"], "never": never}) as mesh:
        yield f"127.0.0.1:{mesh.dispatcher.port}"


CLIENTS = {
    "client in Python, asynchronous": ("Python", 0),
    "client in Python, blocking": ("Python", 1),
    "client in Python, grpcio": ("Python", 2),
    "client in Go": ("Go", None),
    "client in Node": ("Node", None),
    "client in Java": ("Java", None),
}
"""Section of the README, and the line that is this program; None = the whole block is."""


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_client_prints_what_came_back(name: str, record_property: Note) -> None:
    """Result, coverage, missing branches, attempts, trailers, snapshots and rich errors: in each language the same."""
    section, line = CLIENTS[name]
    present({name: section}, record_property)
    block = typed(section)[0]
    if line is not None:
        block = block.splitlines()[line]
    async with served() as target, AsyncClient(target) as client:
        expected = await client.dispatch("enrich_contact", {"phone": "+49 30 23125000", "email": "ada@example.org"})
        said = await succeeds(block.replace(SERVED, target))
    assert expected.value["country"] == "DE"
    dispatched, streamed, failed = sections(said)
    check_dispatched(dispatched, expected.value)
    check_streamed(streamed, expected.value)
    check_failed(failed)


Lines = list[tuple[str, str]]


def sections(said: str) -> list[Lines]:
    """What follows each heading, as (label, text); enumerations by their short names, which only Python has."""
    short = re.sub(r"\b(BRANCH_STATE|BRANCH_REASON|COMPLETED_BY|ATTEMPT_KIND)_", "", said)
    found: list[Lines] = []
    for line in short.splitlines():
        if line.startswith("== "):
            found.append([])
        elif found and (match := re.fullmatch(r"([a-z]+) +(.*)", line)):  # Maven ends with an escape sequence
            found[-1].append((match[1], match[2]))
    assert len(found) == 3, said
    return found


def check_dispatched(lines: Lines, expected: Any) -> None:
    """A partial answer that says so: the address is missing, and its default stands in."""
    assert [label for label, _ in lines] == ["result", "complete", "coverage", "missing", "attempt"]
    told = dict(lines)
    assert json.loads(told["result"]) == expected
    assert told["complete"] == "false"
    assert told["coverage"] == "0.50 by ALL"
    assert told["missing"] == "ip: DEFAULTED WORKER_ERROR: ip: missing"
    assert re.fullmatch(r"ip 0: FIRST code 3 at 127\.0\.0\.1:\d+", told["attempt"])


def check_streamed(lines: Lines, expected: Any) -> None:
    """Snapshots that only grow, then the same answer."""
    *snapshots, final = lines
    assert final[0] == "final"
    assert {label for label, _ in snapshots} == {"snapshot"}
    told = [re.fullmatch(r"coverage (\d\.\d\d) (.*)", text) for _, text in lines]
    coverage = [float(match[1]) for match in told if match]
    assert len(coverage) == len(lines)
    assert coverage == sorted(coverage)
    assert coverage[-1] == 0.5
    assert final[1].startswith("coverage 0.50 ")
    assert json.loads(final[1].removeprefix("coverage 0.50 ")) == expected


def check_failed(lines: Lines) -> None:
    """A status with its reason, its details, the worst branches, and word that nobody need try again."""
    (label, status), *rest = lines
    assert (label, status.split(":")[0]) == ("status", str(int(Code.UNAVAILABLE)))
    assert rest[:4] == [
        ("reason", "COMPLETION_UNREACHABLE"),
        ("metadata", "branch=phone"),
        ("metadata", "branch_reason=WORKER_ERROR"),
        ("metadata", "cause_code=INVALID_ARGUMENT"),
    ]
    assert rest[4] == ("summary", "phone: FAILED WORKER_ERROR")
    assert {label for label, _ in rest[4:-1]} == {"summary"}
    assert rest[-1] == ("pushback", "-1")


async def test_grpcurl_as_the_readme_types_it(record_property: Note) -> None:
    """With reflection alone: health, both calls, a Struct, a failure in full, an explanation, the deadline of the caller."""
    present({"grpcurl": "grpcurl"}, record_property)
    install, block, *_ = typed("grpcurl")
    await succeeds(install)
    lines = re.findall(r"^grpcurl .*?(?=^grpcurl |^#|\Z)", block, flags=re.MULTILINE | re.DOTALL)
    async with served() as target:
        told = [await shell(line.replace(SERVED, target), proxies=False) for line in lines]
        late = lines[2].replace("enrich_contact", "never").replace("-plaintext", "-plaintext -max-time 0.2")
        deadline = await shell(late.replace(SERVED, target), proxies=False)
    listed, healthy, dispatched, streamed, failed, in_full, explained = told
    assert "fanmesh.v1.DispatcherService" in listed[1]
    assert json.loads(healthy[1]) == {"status": "SERVING"}
    assert "fanmesh-complete: false" in dispatched[1]
    assert '"country": "DE"' in dispatched[1]  # in a Struct, as it was sent
    *_, last = documents(streamed[1])
    assert last["final"]["report"]["coverage"]["ratio"] == 0.5
    assert failed[0] == 64 + int(Code.UNAVAILABLE)
    assert "COMPLETION_UNREACHABLE" in failed[1]
    assert "grpc-retry-pushback-ms: -1" in failed[1]
    (reply,) = documents(in_full[1])
    assert reply["outcome"]["code"] == int(Code.UNAVAILABLE)
    assert {row["branch"] for row in reply["report"]["branches"]} == set(ENRICHMENT)
    (explanation,) = documents(explained[1])
    assert [node["branch"] for node in explanation["nodes"] if node.get("runs")] == ["phone", "ip", "email"]
    assert deadline[0] == 64 + int(Code.DEADLINE_EXCEEDED), deadline


def documents(text: str) -> list[Any]:
    """The JSON documents that follow one another in a text."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := text.find("{", at)) >= 0:
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found


async def test_every_section_of_the_readme_is_run() -> None:
    """A language that is added to the README without a test is noticed."""
    readme = (ROOT / "examples" / "README.md").read_text()
    runnable = {heading for heading in re.findall(r"^## (.+)$", readme, flags=re.MULTILINE) if typed(heading)}
    assert runnable == {*TOOLS, "Workers"}
