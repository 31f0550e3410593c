"""The first third of the corpus. A module of its own, so that its process loads this third and no other before it serves."""

from __future__ import annotations

from bm25s import BM25

from fanmesh.workers import worker
from sample_workers.enrichment.once import once
from sample_workers.search import bm25s, shards
from sample_workers.search.asking import Hits, Question, asked


@once
def index() -> BM25:
    """Its index."""
    return shards.load(0)


@worker
def shard_1(q: Question) -> Hits:
    """Documents of the first third, by pieces of words."""
    return Hits(hits=bm25s.search(index(), asked(q), q.k))


warm = index
