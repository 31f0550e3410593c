"""What makes two calls of a branch equal, and how an answer is written down to be given again.

Equal are calls that the worker cannot tell apart: beside what is asked, everything that it is told of the caller counts, as
`worker_call` sends it. A `key` of the configuration takes the place of what is asked and of nothing else, so that no choice of
a key hands one caller's answer to another whom the worker would have known to be somebody else.

The input counts by its meaning and not by its bytes: white space, the order of a map's keys, and whether it came as a Struct or
as JSON text change no answer. Not told: the request's id, its trace, its deadline and the attempt's number, which no answer may
depend on.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import orjson

from dispatcher.layers.cache import Answers
from dispatcher.layers.types import BranchRun
from dispatcher.model.caching import CacheRule
from dispatcher.model.reading import Unreadable
from fanmesh.model.values import Malformed, Opaque, Value

DIGEST: Final = 32
"""Bytes: callers choose inputs, and two that collide would be given each other's answers."""

TOLD: Final = frozenset({"fanmesh-hops"})
"""Headers of every call that a worker may refuse it for."""


def key_of(run: BranchRun, rule: CacheRule) -> bytes | None:
    """A digest of all that may change the answer; None: the input is malformed, or the key cannot be evaluated on it."""
    request, worker = run.request, run.node.worker
    try:
        asked = run.input.value if rule.key is None else rule.key(run.reading())
    except Malformed:
        return None
    if isinstance(asked, Unreadable):
        return None
    given = request.attributes
    attributes = [(name, given[name]) for name in sorted({*worker.attributes, *rule.told}) if name in given]
    metadata = [pair for pair in sorted(request.metadata, key=_name) if pair[0] in worker.metadata]
    headers = [pair for pair in request.headers if pair[0] in TOLD]
    faults = request.faults if worker.faults is not None else ()
    digest = blake2b(canonical(asked), digest_size=DIGEST)
    for group in (attributes, metadata, headers, faults):
        digest.update(b"%d;" % len(group))
        for name, text in group:
            value = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
            digest.update(b"%d:%d:" % (len(name), len(value)) + name.encode() + value)
    digest.update(b"1" if request.shadow else b"0")
    digest.update(run.item_key.encode(errors="surrogatepass"))
    return digest.digest()


def _name(pair: tuple[str, str | bytes]) -> str:
    """Metadata is ordered within a name, and not across names."""
    return pair[0]


def canonical(value: Value) -> bytes:
    """The same bytes for the same value, others for any other, and none that is the beginning of another's."""
    if isinstance(value, Opaque):
        kind = value.media_type.encode()
        return b"%d:%d:%d:" % (value.is_message, len(kind), len(value.data)) + kind + value.data
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return b"json:%d:" % len(text) + text


def pack(value: Value) -> bytes | Opaque:
    """An answer as it is kept; the order of its keys stays as it is."""
    return value if isinstance(value, Opaque) else orjson.dumps(value)


def unpack(body: bytes | Opaque) -> Value:
    """The answer again, shared with nobody."""
    return body if isinstance(body, Opaque) else orjson.loads(body)


ANSWERS: Final = Answers(key_of, pack, unpack)
