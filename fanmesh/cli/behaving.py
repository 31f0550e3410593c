"""`--behaviour`: how workers misbehave, from the small language of the sample workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fanmesh.cli.ends import Exit, Stop
from fanmesh.workers.acting import Act, Behaviour
from sample_workers.behaviour import BehaviourError, Profile, decisions, parse_all


def profiles(texts: Sequence[str], workers: Iterable[str]) -> dict[str, Profile]:
    """The profiles by worker, "" for all others. Stop for what cannot be read, or names a worker that is not there."""
    try:
        parsed = parse_all(texts)
    except BehaviourError as error:
        raise Stop(f"--behaviour: {error}", 'write it as in --behaviour "geo:delay=20ms;hang@5%"', Exit.USAGE) from error
    known = sorted(workers)
    for name in parsed:
        if name and name not in known:
            raise Stop(f"--behaviour: there is no worker {name}", f"there are: {', '.join(known)}", Exit.USAGE)
    return parsed


def behaviour(texts: Sequence[str], workers: Sequence[str], seed: int) -> Behaviour | None:
    """What to do with each call; None if nothing was asked for. The same seed gives the same calls the same fate."""
    parsed = profiles(texts, workers)
    if not parsed:
        return None
    acts = {name: decisions(parsed.get(name) or parsed.get("") or Profile(), seed, name) for name in workers}

    def next_act(worker: str) -> Act | None:
        return next(acts[worker]) if worker in acts else None

    return next_act
