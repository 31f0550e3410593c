"""Which processes `fanmesh dev` has to run: workers by the address they are configured at, and the files they are made of.

Pure but for looking up files. One process per address, not per worker: two workers at one address cannot be two processes, and
a worker with two endpoints is two processes, as it would be in production.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dispatcher.config import Config
from dispatcher.model.plan import Worker

LOCAL_NAMES: Final = frozenset({"localhost", "ip6-localhost", "0.0.0.0", "::"})  # noqa: S104  (compared with, not bound to)


@dataclass(frozen=True, slots=True)
class Group:
    """One process: `workers` (name → module:function) at `listen`."""

    listen: str
    workers: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The workers' names."""
        return tuple(name for name, _ in self.workers)

    @property
    def modules(self) -> tuple[str, ...]:
        """The workers' modules."""
        return tuple(dict.fromkeys(function.partition(":")[0] for _, function in self.workers))


def addresses(worker: Worker) -> tuple[str, ...]:
    """Where a worker is configured to listen: `host:port` or `unix:/path`."""
    if worker.endpoints:
        return worker.endpoints
    target = worker.target
    for scheme in ("dns:///", "ipv4:"):
        target = target.removeprefix(scheme)
    return (target,)


def is_local(address: str) -> bool:
    """Whether a process on this machine can listen there."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback or host in LOCAL_NAMES
    except ValueError:
        return host in LOCAL_NAMES


def groups(config: Config) -> tuple[Group, ...]:
    """The processes, in the order of the configuration. ValueError for a worker that is configured on another machine."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, function in config.dev.items():
        for address in addresses(config.catalogue.workers[name]):
            if not is_local(address):
                raise ValueError(f"dev.{name}: {address} is not an address of this machine")
            found.setdefault(address, []).append((name, function))
    return tuple(Group(address, tuple(workers)) for address, workers in found.items())


def source(module: str, roots: Iterable[str]) -> Path | None:
    """The file of a module, without importing it: importing in this process what the workers import would slow the start."""
    for root in roots:
        path = Path(root or ".", *module.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file.resolve()
    return None


def sources(group: Group) -> dict[str, Path]:
    """The files of a group's modules, as far as they are found."""
    roots = [str(Path.cwd()), *sys.path]
    return {module: file for module in group.modules if (file := source(module, roots)) is not None}


def directories(files: Mapping[str, Path]) -> set[Path]:
    """Where files lie that the modules may import: their own directories, and all of their packages."""
    out: set[Path] = set()
    for module, file in files.items():
        depth = module.count(".") + (file.name == "__init__.py")
        top = file.parents[depth - 1] if depth else file.parent
        out.add(file.parent)
        if depth:
            inside = (path for path in top.rglob("*") if path.is_dir())
            out.add(top)
            out.update(path for path in inside if not any(part.startswith((".", "__")) for part in path.relative_to(top).parts))
    return out


def affected(changed: Iterable[Path], made_of: Mapping[Group, Mapping[str, Path]]) -> set[Group]:
    """The groups to restart: a worker's own file restarts that worker, any other file all that may import it."""
    own = {file for files in made_of.values() for file in files.values()}
    out: set[Group] = set()
    for path in changed:
        for group, files in made_of.items():
            if path in files.values() or (path not in own and path.parent in directories(files)):
                out.add(group)
    return out
