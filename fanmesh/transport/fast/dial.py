"""A socket that is connected to one of a name's addresses: they are tried side by side, each a little later than the last.

What RFC 8305 calls Happy Eyeballs, without which an address that swallows everything stands before the good one for ever. By
hand, because uvloop's create_connection has nothing of it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, Final, TypeAlias

STAGGER: Final = 0.25
"""Seconds before the next address is tried as well. The RFC's."""

_Found: TypeAlias = tuple[Any, ...]
"""One answer of getaddrinfo."""


async def dial(host: str, port: int) -> socket.socket:
    """Connected to the first that answers. OSError if none does, ValueError for what is no name at all."""
    left = iter(_alternating(await _resolve(host, port)))
    trying: set[asyncio.Task[socket.socket]] = set()
    failures: list[str] = []
    try:
        while True:
            if (at := next(left, None)) is not None:
                trying.add(asyncio.get_running_loop().create_task(_connect(at)))
            elif not trying:
                raise OSError("; ".join(dict.fromkeys(failures)))
            done, _ = await asyncio.wait(trying, timeout=STAGGER if at else None, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                trying.discard(task)
                if (error := task.exception()) is None:
                    return task.result()
                failures.append(str(error) or type(error).__name__)
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_forget)


async def _resolve(host: str, port: int) -> Sequence[_Found]:
    """What is an address already needs no thread that asks."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _alternating(found: Sequence[_Found]) -> list[_Found]:
    """The families in turn: one of them may be cut off as a whole."""
    families: dict[int, list[_Found]] = {}
    for at in found:
        families.setdefault(at[0], []).append(at)
    return [at for at in chain.from_iterable(zip_longest(*families.values())) if at is not None]


async def _connect(at: _Found) -> socket.socket:
    family, kind, proto, _, address = at
    made = socket.socket(family, kind, proto)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


def _forget(task: asyncio.Task[socket.socket]) -> None:
    """One that came too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def expect_answers(connected: socket.socket, seconds: float) -> None:
    """Let the kernel give up the connection when nobody acknowledges what is sent for so long (gRFC A18), where it can."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        with suppress(OSError):  # a kernel that only says that it is Linux
            connected.setsockopt(socket.IPPROTO_TCP, option, max(1, int(min(seconds * 1000, 2**31 - 1))))
