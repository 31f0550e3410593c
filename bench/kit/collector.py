"""Where traced subjects export to: rotel, which takes spans over OTLP as every collector does, and throws them away."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def collector() -> Iterator[str]:
    """Run it; yields the endpoint for OTEL_EXPORTER_OTLP_ENDPOINT."""
    agent, grpc, http = str(resources.files("rotel") / "rotel-agent"), free_port(), free_port()
    with TemporaryDirectory() as scratch, Path(scratch, "out").open("wb") as out:
        listen = ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}"]
        files = ["--pid-file", f"{scratch}/pid", "--log-file", f"{scratch}/log"]
        command = [agent, "start", "--exporter", "blackhole", *listen, *files]
        with subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as running:
            try:
                yield f"http://127.0.0.1:{grpc}"
            finally:
                running.terminate()
                try:
                    running.wait(10)
                except subprocess.TimeoutExpired:
                    running.kill()
