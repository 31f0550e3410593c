"""Printing: one JSON document, or tables that fit."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any, Final, TextIO

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fanmesh.cli.tones import colourful, is_terminal

WIDTH: Final = 100
"""Columns that everything fits in."""


def document(value: Any) -> None:
    """`value` as the one JSON document on stdout."""
    pretty = orjson.OPT_INDENT_2 if is_terminal() else 0
    sys.stdout.write(orjson.dumps(value, option=pretty | orjson.OPT_APPEND_NEWLINE).decode())
    sys.stdout.flush()


def result(value: Any, width: int = WIDTH) -> str:
    """A JSON value for people: on one line if it fits, else indented."""
    line = orjson.dumps(value).decode()
    spaced = line if len(line) > width else _spaced(value)
    return spaced if len(spaced) <= width else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _spaced(value: Any) -> str:
    """JSON on one line with a space after `:` and `,`."""
    import json  # noqa: PLC0415  (orjson cannot put the spaces)

    return json.dumps(value, ensure_ascii=False)


def width(stream: TextIO | None = None) -> int:
    """Columns to use: those of the terminal, at most 100; 100 where there is none."""
    return min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH) if is_terminal(stream) else WIDTH


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """A table of plain text on stdout. Nothing in it is read as markup."""
    console = Console(width=width(), no_color=not colourful(), highlight=False, soft_wrap=False)
    made = Table(box=SIMPLE_HEAD, title=Text(title) if title else None, title_justify="left", pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=True)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    console.print(made)
