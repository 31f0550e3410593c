"""What `fanmesh dev` runs, and keeps in step with the files it came from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from dispatcher.app import Dispatcher
from dispatcher.config import EMBEDDED, Config, ConfigErrors
from dispatcher.settings import Settings
from fanmesh.cli.behaving import profiles
from fanmesh.cli.check import counted, report
from fanmesh.cli.children import Child
from fanmesh.cli.ends import Stop
from fanmesh.cli.grouping import Group, affected, directories, groups, is_local, sources
from fanmesh.cli.loading import load
from fanmesh.cli.serve import started
from fanmesh.cli.watching import changes, since, stamps
from fanmesh.model.times import SECOND

DRAIN_NS: Final = SECOND
"""A person who pressed Ctrl-C waits no longer for requests in flight."""

READY_WITHIN: Final = 2.0
"""Seconds to connect: workers have said that they serve, and those that failed to start will not serve soon."""


class Process(NamedTuple):
    """One row of what runs where."""

    listen: str
    pid: int
    runs: tuple[str, ...]
    state: str


class Project:
    """The workers, the aggregator if the configuration names one on this machine, and the dispatcher. `say` prints a line."""

    def __init__(self, config: Config, file: Path, behaviour: Sequence[str], seed: int, say: Callable[[str], None]) -> None:
        self.config = _impatient(config)
        self._file = file
        self._behaviour = tuple(behaviour)
        self._seed = seed
        self._say = say
        self._children: dict[Group, Child] = {}
        self._aggregator: Child | None = None
        self._dispatcher: Dispatcher | None = None
        self._changed = asyncio.Event()
        self._stamps: dict[Path, int] = {}
        self._busy = asyncio.Lock()
        profiles(behaviour, config.dev)

    @property
    def address(self) -> str:
        """Where the dispatcher listens."""
        listen = self.config.server.listen
        port = self._dispatcher.port if self._dispatcher is not None else 0
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{port}"

    @property
    def metrics_port(self) -> int:
        """The port of /metrics; 0 = not served."""
        return self._dispatcher.metrics_port if self._dispatcher is not None else 0

    def processes(self) -> list[Process]:
        """What runs where, beside the dispatcher."""
        rows = [
            Process(group.listen, child.pid, group.names, "" if child.running else "not running, see above")
            for group, child in self._children.items()
        ]
        if self._aggregator is not None:
            target = self.config.server.aggregator.removeprefix("dns:///")
            rows.append(
                Process(target, self._aggregator.pid, ("(aggregator)",), "" if self._aggregator.running else "not running")
            )
        return rows

    async def start(self) -> None:
        """Start everything and wait until it is ready. Stop if the dispatcher cannot run at all."""
        wanted = self._groups(self.config)
        target = self.config.server.aggregator
        if target != EMBEDDED and is_local(address := target.removeprefix("dns:///")):
            self._aggregator = Child("aggregator", ["aggregate", "--listen", address, "--drain", "1s"], self._say)
            await self._aggregator.start()
        await self._run(wanted)
        if self._aggregator is not None:
            await self._aggregator.ready
        self._dispatcher = await started(self.config, Settings(ready_within=READY_WITHIN))

    async def stop(self) -> None:
        """End everything: first what accepts requests, then what answers them."""
        if self._dispatcher is not None:
            await self._dispatcher.stop()
        children = [*self._children.values(), *([self._aggregator] if self._aggregator is not None else [])]
        await asyncio.gather(*(child.stop() for child in children))

    async def follow_sources(self) -> None:
        """Restart workers whose files change, for ever."""
        while True:
            made_of = {group: sources(group) for group in self._children}
            places = {place for files in made_of.values() for place in directories(files)}
            self._changed.clear()
            other = asyncio.ensure_future(self._changed.wait())
            watching = asyncio.ensure_future(self._follow(places, made_of))
            try:
                await asyncio.wait([other, watching], return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    watching.result()
            finally:
                other.cancel()
                watching.cancel()
                await asyncio.gather(other, watching, return_exceptions=True)

    async def _follow(self, places: set[Path], made_of: dict[Group, dict[str, Path]]) -> None:
        if not places:
            await asyncio.get_running_loop().create_future()
        async for reported in changes(places, lambda path: path.suffix == ".py"):
            changed = reported or since(self._stamps)
            hit = affected(changed, made_of)
            if not hit:
                continue
            files = ", ".join(sorted(path.name for path in changed))
            async with self._busy:
                self._say(f"{files} changed: restarting {', '.join(name for group in hit for name in group.names)}")
                await asyncio.gather(*(self._children[group].stop() for group in hit if group in self._children))
                await self._run([group for group in hit if group in self._children])
                if up := [name for group in hit if self._children[group].running for name in group.names]:
                    if self._dispatcher is not None:
                        await self._dispatcher.renewed(up)
                    self._say(f"{', '.join(up)} again ready")

    async def follow_config(self) -> None:
        """Reload when the configuration changes, for ever. One that is wrong changes nothing."""
        async for _ in changes([self._file.parent], lambda path: path.name == self._file.name):
            try:
                config = _impatient(load(self._file))
                wanted = self._groups(config)
                profiles(self._behaviour, config.dev)
            except ConfigErrors as errors:
                self._say(f"{report(errors.problems, self._file)}\n{counted(errors.problems)}: nothing is changed")
                continue
            except Stop as stop:
                self._say(f"{stop.message}: nothing is changed")
                continue
            if config.version != self.config.version:
                await self._reload(config, wanted)

    async def _reload(self, config: Config, wanted: tuple[Group, ...]) -> None:
        dispatcher = self._dispatcher
        if dispatcher is None:
            return
        async with self._busy:
            if config.server != self.config.server:
                self._say("`server:` has changed: that needs a restart of `fanmesh dev`; the rest is taken over")
                config = replace(config, server=self.config.server)
            gone = [group for group in self._children if group not in wanted]
            # Addresses that stay are taken by their new process only when the old one has let go.
            taken = {group.listen for group in wanted}
            await asyncio.gather(*(self._children[group].stop() for group in gone if group.listen in taken))
            await self._run([group for group in wanted if group not in self._children])
            self.config = config
            await dispatcher.reload(config)
            await asyncio.gather(*(self._children.pop(group).stop() for group in gone))
            self._changed.set()
            self._say(f"reloaded {self._file.name} (config {config.version})")

    def _groups(self, config: Config) -> tuple[Group, ...]:
        try:
            return groups(config)
        except ValueError as error:
            raise Stop(str(error), "leave it out of `dev:`, or let its target be localhost:PORT") from error

    async def _run(self, wanted: Sequence[Group]) -> None:
        """Start a process for each group and wait until each is ready or has failed."""
        self._stamps |= stamps(file for group in wanted for file in sources(group).values())
        for group in wanted:
            self._children[group] = child = Child(" ".join(group.names), self._arguments(group), self._say)
            await child.start()
        await asyncio.gather(*(self._children[group].ready for group in wanted))

    def _arguments(self, group: Group) -> list[str]:
        functions = [f"{name}={function}" for name, function in group.workers]
        named = [text for text in self._behaviour if any(text.strip().startswith(f"{name}:") for name in group.names)]
        to_all = [text for text in self._behaviour if "" in profiles([text], self.config.dev)]
        acts = [word for text in (*named, *to_all) for word in ("--behaviour", text)]
        return ["worker", *functions, "--listen", group.listen, "--drain", "1s", "--seed", str(self._seed), *acts]


def _impatient(config: Config) -> Config:
    return replace(config, server=replace(config.server, drain=min(config.server.drain, DRAIN_NS)))
