"""`python -m sample_workers.thesaurus.service [host:port]`, as a tutorial of gRPC would write it.

Plain `grpc.server` with threads, since that is what most services in Python are. It says on a line of JSON where it listens,
and ends when its standard input does.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import grpc
from grpc_reflection.v1alpha import reflection

from sample_workers.search import corpus
from sample_workers.thesaurus import thesaurus_pb2, thesaurus_pb2_grpc

USUAL: Final = 20
_WORD: Final = re.compile(r"[^\W_]+")


class Name(NamedTuple):
    """One name of a concept."""

    code: str
    preferred: str
    name: str
    words: frozenset[str]


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))


class Thesaurus(thesaurus_pb2_grpc.ThesaurusServicer):
    """All names in memory, found by their words."""

    def __init__(self) -> None:
        self._by_word: dict[str, list[Name]] = defaultdict(list)
        for concept in corpus.read():
            for each in (concept.title, *concept.clinical):
                name = Name(concept.id, concept.title, each, _words(each))
                for word in name.words:
                    self._by_word[word].append(name)

    def Lookup(self, request: thesaurus_pb2.LookupRequest, context: grpc.ServicerContext) -> thesaurus_pb2.LookupReply:  # noqa: N802  (its name in the proto)
        """Names by the share of words in common (Jaccard's index), each concept once."""
        asked = _words(request.phrase)
        if not asked:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "phrase: no word in it")
        best: dict[str, tuple[float, Name]] = {}
        for name in {name for word in asked for name in self._by_word.get(word, ())}:
            similarity = len(asked & name.words) / len(asked | name.words)
            if name.code not in best or (similarity, name.name) > (best[name.code][0], best[name.code][1].name):
                best[name.code] = similarity, name
        closest = sorted(best.values(), key=lambda one: (-one[0], one[1].code))[: request.limit or USUAL]
        return thesaurus_pb2.LookupReply(concepts=[_concept(name, similarity) for similarity, name in closest])


def _concept(name: Name, similarity: float) -> thesaurus_pb2.Concept:
    return thesaurus_pb2.Concept(code=name.code, preferred_name=name.preferred, matched_name=name.name, similarity=similarity)


def main(listen: str = "127.0.0.1:0") -> None:
    """Serve until standard input ends."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    thesaurus_pb2_grpc.add_ThesaurusServicer_to_server(Thesaurus(), server)  # type: ignore[no-untyped-call]
    names = thesaurus_pb2.DESCRIPTOR.services_by_name["Thesaurus"].full_name, reflection.SERVICE_NAME
    reflection.enable_server_reflection(names, server)
    port = server.add_insecure_port(listen)
    server.start()
    sys.stdout.write(json.dumps({"listen": f"{listen.rpartition(':')[0]}:{port}"}) + "\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    server.stop(1.0).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
