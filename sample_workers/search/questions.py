"""Questions with one right answer each: what laypeople call a finding, and the finding.

People wrote them, for people: the ontology has them so that patients find themselves in it. Questions that are made from a
document by dropping and misspelling its words would say how well an engine undoes what we did. No engine has seen these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple
from zlib import crc32

from sample_workers.search.corpus import Document
from sample_workers.search.words import words

_FEWEST: Final = 2
"""Words of a question."""


class KnownItem(NamedTuple):
    """`q` is asked, and the document `id` is what was meant."""

    q: str
    id: str


class Halves(NamedTuple):
    """Two sets of questions about different documents."""

    chosen_on: tuple[KnownItem, ...]
    judged_on: tuple[KnownItem, ...]


def halves(documents: Iterable[Document]) -> Halves:
    """All questions; which half one is in depends on its document's id alone, so the halves stay when documents are added."""
    every = known_items(documents)
    return Halves(
        tuple(one for one in every if crc32(one.id.encode()) % 2 == 0),
        tuple(one for one in every if crc32(one.id.encode()) % 2 == 1),
    )


def known_items(documents: Iterable[Document]) -> tuple[KnownItem, ...]:
    """One question a document that has any, in the order of the documents.

    A question has two words or more, is no other order of the words of the title or of a clinical name, and names one document
    only.
    """
    corpus = tuple(documents)
    meant = Counter(bag for document in corpus for bag in set(map(_bag, document.lay)))
    found = []
    for document in corpus:
        known = {_bag(document.title), *map(_bag, document.clinical)}
        fit = [lay for lay in document.lay if len(words(lay)) >= _FEWEST and _bag(lay) not in known and meant[_bag(lay)] == 1]
        if fit:
            found.append(KnownItem(min(fit, key=lambda lay: crc32(lay.encode())), document.id))
    return tuple(found)


def _bag(text: str) -> tuple[str, ...]:
    return tuple(sorted(words(text)))
