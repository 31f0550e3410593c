"""`fanmesh schema`: the JSON Schema of the configuration."""

from __future__ import annotations

import orjson

from dispatcher.assembly import MERGES
from dispatcher.config import json_schema
from fanmesh.cli.ends import Exit, Output
from fanmesh.cli.say import document


def schema(*, output: Output = "text") -> int:
    """Print it: indented, or with `-o json` as every other verb's document."""
    made = json_schema(MERGES.schema)
    if output == "json":
        document(made)
    else:
        print(orjson.dumps(made, option=orjson.OPT_INDENT_2).decode())
    return Exit.OK
