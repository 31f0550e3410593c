"""Tantivy: words without stop words, cut back to their stems by Snowball's rules for English, title and text as one field.

Queries are built from the analyser's words and not parsed from text: whoever types `AND` or `title:` asks for these words.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import tantivy as library

from fanmesh.workers import worker
from sample_workers.enrichment.once import once
from sample_workers.search import cache, corpus
from sample_workers.search.asking import Hit, Hits, Question, asked

_HEAP: Final = 64_000_000
"""Bytes that the writer may hold before it writes a segment; all documents fit."""


class Index(NamedTuple):
    """What a query needs."""

    schema: library.Schema
    analyser: library.TextAnalyzer
    searcher: library.Searcher

    def search(self, text: str, k: int) -> list[Hit]:
        """The k best documents that have one of the words."""
        words = dict.fromkeys(self.analyser.analyze(text))
        if not words:
            return []
        terms = [(library.Occur.Should, library.Query.term_query(self.schema, "all", word)) for word in words]
        found = self.searcher.search(library.Query.boolean_query(terms), k).hits
        return [self._hit(float(score or 0), self.searcher.doc(address)) for score, address in found]

    def _hit(self, score: float, stored: library.Document) -> Hit:
        key, title, text = (str(stored.get_first(field)) for field in ("id", "title", "text"))
        return Hit(id=key, score=score, title=title, snippet=corpus.Document(key, title, text).snippet)


def _analyser() -> library.TextAnalyzer:
    builder = library.TextAnalyzerBuilder(library.Tokenizer.simple())
    for each in (
        library.Filter.lowercase(),
        library.Filter.ascii_fold(),
        library.Filter.stopword("english"),
        library.Filter.stemmer("english"),
    ):
        builder = builder.filter(each)
    return builder.build()


def _schema() -> library.Schema:
    builder = library.SchemaBuilder()
    for field in ("id", "title", "text"):
        builder.add_text_field(field, stored=True, tokenizer_name="raw")
    return builder.add_text_field("all", tokenizer_name="english").build()


def build(place: Path) -> None:
    """The index of all documents, written by one thread, so that it is the same each time."""
    index = library.Index(_schema(), str(place))
    index.register_tokenizer("english", _analyser())
    writer = index.writer(_HEAP, 1)
    for document in corpus.read():
        both = f"{document.title}. {document.text}"
        writer.add_document(library.Document(id=document.id, title=document.title, text=document.text, all=both))
    writer.commit()
    writer.wait_merging_threads()


@once
def index() -> Index:
    """The index, opened to read."""
    opened = library.Index.open(str(cache.index("tantivy", f"tantivy {version('tantivy')}", build, __file__)))
    analyser = _analyser()
    opened.register_tokenizer("english", analyser)
    return Index(opened.schema, analyser, opened.searcher())


@worker("tantivy")
def tantivy(q: Question) -> Hits:
    """Documents by stems of words."""
    return Hits(hits=index().search(asked(q), q.k))


warm = index
