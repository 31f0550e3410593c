"""Measure which grpcio to pin: the same fan-out and the same probes under each candidate.

    python bench/pin/run.py [--rounds 3] [--seconds 5] [--only 1.80.1,1.82.3] [--out bench/results/pin.json]

Only the dispatcher runs the candidate; worker and load client stay on REFERENCE, so nothing else changes between two
figures. Rounds are interleaved and each is compared with the reference of the same round: on a shared machine a
version measured after another one is measured in other weather. The probes run the candidate on both ends.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

HERE = Path(__file__).parent
POLLERS_OFF = "-event_engine_client,-event_engine_listener"
FIGURES = ("cpu_ms", "switches", "per_s", "p50_ms", "p99_ms")
PROBE_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One grpcio version, with or without the event engine's pollers."""

    version: str
    experiments: str = ""

    @property
    def name(self) -> str:
        """The key in the results."""
        return self.version + ("-no-event-engine" if self.experiments else "")

    def command(self, root: Path, script: str, *args: str) -> list[str]:
        """Return the command that runs one of our scripts under this candidate."""
        env = ["env", f"GRPC_EXPERIMENTS={self.experiments}"] if self.experiments else []
        return [*env, str(root / self.version / "bin" / "python"), str(HERE / script), *args]


REFERENCE = Candidate("1.85.1")
CANDIDATES = (
    *map(Candidate, ("1.76.0", "1.78.2", "1.80.1", "1.82.3", "1.83.2", "1.84.2")),
    REFERENCE,
    Candidate("1.82.3", POLLERS_OFF),
    Candidate("1.85.1", POLLERS_OFF),
)


def install(root: Path, version: str) -> str:
    """Make a virtual environment with that grpcio and uvloop alone; return uvloop's version."""
    home = root / version
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    python = str(home / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "install", "--only-binary", ":all:", f"grpcio=={version}", "uvloop"], check=True)
    ask = [python, "-c", "import importlib.metadata as m; print(m.version('uvloop'))"]
    return subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def serving(command: list[str]) -> Iterator[str]:
    """Run a server for the length of the block; yield its target. It ends when its stdin closes."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"127.0.0.1:{int(cast('IO[str]', server.stdout).readline())}"
        finally:
            cast("IO[str]", server.stdin).close()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def answer(command: list[str], limit_s: float) -> dict[str, Any]:
    """Run a client to its end and return the JSON it printed; a client that hangs is an answer too."""
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=limit_s)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        return {"failed": type(error).__name__}
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def load(root: Path, candidate: Candidate, seconds: float) -> dict[str, Any]:
    """Measure one round of one candidate."""
    with ExitStack() as stack:
        worker = stack.enter_context(serving(REFERENCE.command(root, "worker.py")))
        dispatcher = stack.enter_context(serving(candidate.command(root, "dispatcher.py", worker)))
        return answer(REFERENCE.command(root, "load.py", dispatcher, str(seconds)), seconds + 30)


def probe(root: Path, candidate: Candidate) -> dict[str, Any]:
    """Put the questions of probe.py, each to a fresh worker."""
    answers: dict[str, Any] = {}
    for what in ("endings", "naive", "owned"):
        with serving(candidate.command(root, "worker.py")) as worker:
            answers[what] = answer(candidate.command(root, "probe.py", what, worker), PROBE_LIMIT_S)
    return {**answers["endings"], "cancel_by_task": answers["naive"], "cancel_owned": answers["owned"]}


def summary(rounds: list[dict[str, float]], reference: list[dict[str, float]]) -> dict[str, Any]:
    """Return the median of each figure, and of its ratio to the reference of the same round."""
    return {
        "median": {f: round(statistics.median(r[f] for r in rounds), 3) for f in FIGURES},
        "ratio": {f: round(statistics.median(r[f] / s[f] for r, s in zip(rounds, reference, strict=True)), 3) for f in FIGURES},
        "cpu_ms_rounds": [round(r["cpu_ms"], 3) for r in rounds],
    }


def measure(candidates: list[Candidate], rounds: int, seconds: float) -> dict[str, Any]:
    """Run everything in throw-away environments and return the results."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        uvloops = {install(root, version) for version in dict.fromkeys(c.version for c in candidates)}
        loads: dict[str, list[dict[str, float]]] = {c.name: [] for c in candidates}
        for turn in range(rounds):
            at = turn * len(candidates) // rounds
            for candidate in candidates[at:] + candidates[:at]:
                loads[candidate.name].append(load(root, candidate, seconds))
                print(turn, candidate.name, loads[candidate.name][-1], flush=True)
        probes = {}
        for candidate in candidates:
            probes[candidate.name] = probe(root, candidate)
            print(candidate.name, json.dumps(probes[candidate.name]), flush=True)
    reference = loads[REFERENCE.name]
    return {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "uvloop": sorted(uvloops)},
        "setting": {"fan_out": 5, "in_flight": 32, "rounds": rounds, "seconds": seconds, "reference": REFERENCE.name},
        "candidates": {name: summary(own, reference) | probes[name] for name, own in loads.items()},
    }


def main() -> None:
    """Read the command line, measure, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", default="", help="versions, comma-separated; the reference is always added")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results" / "pin.json")
    given = parser.parse_args()
    wanted = set(filter(None, given.only.split(",")))
    chosen = [c for c in CANDIDATES if not wanted or c == REFERENCE or c.version in wanted]
    results = measure(chosen, given.rounds, given.seconds)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
