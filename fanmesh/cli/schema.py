"""`fanmesh schema`: the JSON Schema of the configuration."""

from __future__ import annotations

import sys

import orjson

from dispatcher.assembly import MERGES
from dispatcher.config import json_schema
from fanmesh.cli.ends import Exit, Output


def schema(*, output: Output = "json") -> int:
    """Print it. It is JSON either way; `-o json` is taken so that every verb takes it."""
    indent = orjson.OPT_INDENT_2 if output else 0
    sys.stdout.write(orjson.dumps(json_schema(MERGES.schema), option=indent | orjson.OPT_APPEND_NEWLINE).decode())
    return Exit.OK
