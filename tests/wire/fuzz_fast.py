"""`make fuzz`: a million things that a peer may say to the fast transport, seeded, in conversations with both of its ends.

Beside the properties in test_fast_fuzz.py, which look for small counterexamples, this one looks for what only numbers show: a
stream, a task or a byte that stays behind once in a hundred thousand. Each frame, header block, reset or piece of noise counts.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from random import Random
from typing import Any

from tests.kit.scripted import turns
from tests.wire.test_fast_fuzz import call_one, serve_one

FIELDS = (
    *((b"grpc-status", b"0"), (b"grpc-status", b"x"), (b"grpc-message", b"%"), (b"grpc-timeout", b"1m"), (b"k-bin", b"!")),
    *((b"grpc-encoding", b"gzip"), (b"grpc-encoding", b"br"), (b"grpc-timeout", b"?"), (b"content-type", b"text/html")),
)
ALLOWED_GROWTH = 32 * 1024
"""KiB of resident memory from a tenth of the way to the end."""

Act = tuple[str, Any, bool]


def an_act(chance: Random) -> Act:
    """One thing that a peer says."""
    kind = chance.choice(
        ("headers", "headers", "data", "data", "trailers", "reset", "goaway", "frame", "frame", "noise", "turn")
    )
    choice = chance.random() < 0.5
    match kind:
        case "headers" | "trailers":
            return kind, [some_field(chance) for _ in range(chance.randrange(5))], choice
        case "data":
            body = chance.randbytes(chance.randrange(50))
            framed = bytes([chance.randrange(3)]) + len(body).to_bytes(4, "big") + body
            return kind, chance.choice((body, framed)), choice
        case "reset" | "goaway":
            return kind, chance.randrange(15), choice
        case "frame":
            body = chance.randbytes(chance.randrange(60))
            length = len(body) if chance.random() < 0.8 else chance.randrange(1 << 24)
            stream = chance.choice((0, 1, 2, 3, 5, chance.randrange(1 << 32)))
            head = length.to_bytes(3, "big") + bytes([chance.randrange(13), chance.randrange(256)]) + stream.to_bytes(4, "big")
            return kind, head + body, choice
        case "noise":
            return kind, chance.randbytes(chance.randrange(30)), choice
        case _:
            return kind, None, choice


def some_field(chance: Random) -> tuple[bytes, bytes]:
    """A header field, known or not."""
    if chance.random() < 0.6:
        return chance.choice(FIELDS)
    name = bytes(chance.choice(b"abcdefghijklmnopqrstuvwxyz-") for _ in range(1 + chance.randrange(10)))
    return name, bytes(chance.randrange(33, 127) for _ in range(chance.randrange(20)))


def memory() -> int:
    """The most that this process has used, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def say(line: str) -> None:
    """For who waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def conversations(inputs: int, seed: int) -> int:
    """Hold them until so many things have been said; how many. AssertionError, with the seed, for what stays behind."""
    chance, said, held, early = Random(seed), 0, 0, 0  # noqa: S311  (to be repeated, not to be secret)
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    began = time.monotonic()
    while said < inputs:
        own = chance.randrange(1 << 62)
        one = Random(own)  # noqa: S311  (same)
        acts = [an_act(one) for _ in range(1 + one.randrange(12))]
        try:
            await (serve_one if one.random() < 0.5 else call_one)(acts)
            await turns(2)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks are left: {left}"
            assert not unseen, f"nobody saw {unseen}"
        except Exception as wrong:
            raise AssertionError(f"conversation {held}, seed {own}: {acts}") from wrong
        said += len(acts)
        held += 1
        if not early and said > inputs // 10:
            early = memory()
        if held % 5000 == 0:
            rate = said / (time.monotonic() - began)
            say(f"{said:>9} of {inputs} said in {held} conversations, {rate:.0f} a second, {memory() // 1024} MiB")
    grown = memory() - early
    assert grown < ALLOWED_GROWTH, f"memory has grown by {grown} KiB"
    say(f"{said} things said in {held} conversations: none crashed, none stuck, nothing left; memory grew by {grown} KiB")
    return held


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    asyncio.run(conversations(asked.inputs, asked.seed))
