"""What people type, as values; each error names the option and what it may be."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fanmesh.cli.ends import Exit, Stop
from fanmesh.jsontext import PayloadError, parse
from fanmesh.model.values import JsonValue

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)")
_PLAIN: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")
"""What most people write."""

MOST_PORT: Final = 65535

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}


def span(text: str, option: str) -> float:
    """`300ms`, `1.5s`, `2m` in seconds. Stop for anything else: a bare 300 has been read both ways."""
    found = _SPAN.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise Stop(f"{option}: {text!r} is not a time", f"write it with its unit, as in {option} 300ms", Exit.USAGE)
    return float(found[1]) * _SECONDS[found[2]]


def address(text: str, option: str, *, unix: bool = True) -> str:
    """`host:port` to listen on, or `unix:/path`, unchanged. Stop for anything else: gRPC would listen somewhere all the same.

    `unix` False: no socket.
    """
    if _PLAIN.fullmatch(text) and int(text.rpartition(":")[2]) <= MOST_PORT:
        return text
    from dispatcher.config.addresses import HOST_PORT, parse_listen  # noqa: PLC0415  (loads what a worker has no use for)
    from dispatcher.config.problems import Wrong  # noqa: PLC0415

    if text.startswith("unix:") and not unix:
        raise Stop(f"{option}: it cannot be a socket", f"write {HOST_PORT}", Exit.USAGE)
    try:
        return parse_listen(text)
    except Wrong as wrong:
        raise Stop(f"{option}: {wrong.message}", f"write {wrong.expected}", Exit.USAGE) from wrong


def taken(listen: str, error: OSError) -> Stop:
    """Nobody can be served at `listen`."""
    why = str(error).removeprefix(f"cannot listen on {listen}: ")
    return Stop(f"cannot listen on {listen}: {why}", "another process may have it, or it is no address of this machine")


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """`k=v` options as a mapping. Stop for one without `=`, or given twice."""
    out: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise Stop(f"{option}: {text!r} is not a pair", f"write {option} name=value", Exit.USAGE)
        if key in out:
            raise Stop(f"{option}: {key} is given twice", f"give {option} {key}=… once", Exit.USAGE)
        out[key] = value
    return out


def data(text: str) -> JsonValue:
    """JSON, `@file`, or `-` for stdin. Stop if it cannot be read or is no JSON, with the reason."""
    match text[:1]:
        case "-" if text == "-":
            source, body = "stdin", sys.stdin.read()
        case "@":
            source = text[1:]
            try:
                body = Path(source).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "is not UTF-8"
                raise Stop(f"-d {text}: {reason}", "name a file with JSON in it", Exit.USAGE) from error
        case _:
            source, body = "-d", text
    try:
        value = parse(body)
    except PayloadError as error:
        hint = 'quote it for the shell: -d \'{"name": "Ada"}\'' if source == "-d" else "look at it there"
        raise Stop(f"{source}: {error}", hint, Exit.USAGE) from error
    return value
