"""`check` and `schema`: what they say agrees with what the product loads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dispatcher.config import ConfigErrors
from fanmesh.cli.init import CONFIG
from fanmesh.cli.loading import load
from fanmesh.cli.main import run

ENRICHMENT = Path(__file__).parents[3] / "sample_workers" / "enrichment" / "fanmesh.yaml"


def test_check_says_everything_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All problems with line and caret, exit 1; a good file: what is in it, exit 0; both as JSON."""
    file = tmp_path / "fanmesh.yaml"
    file.write_text(CONFIG)
    assert run(["check", str(file)]) == 0
    assert capsys.readouterr().out == "ok: 1 plan, 2 workers\n"
    file.write_text(CONFIG.replace("effect: read", "effect: raed").replace("latency: 1s", "latency: 1"))
    assert run(["check", str(file)]) == 1
    out = capsys.readouterr().out
    assert out.endswith("not ok: 3 errors\n")
    lines = out.splitlines()
    place = next(number for number, line in enumerate(lines) if "plans.greet.budget.latency" in line)
    source, caret = lines[place + 1], lines[place + 2]
    assert source[caret.index("^")] == "1"
    assert run(["check", str(file), "-o", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [(problem["line"], problem["severity"]) for problem in told["problems"]] == [
        (2, "error"),
        (2, "error"),
        (4, "error"),
    ]


def test_check_without_a_file_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file is a failure with a next step."""
    assert run(["check", str(tmp_path / "none.yaml")]) == 1
    assert "fanmesh init" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["check", "serve"])
def test_a_directory_is_told_from_a_file_that_is_not_there(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are failures with a next step; what is there is not said to be missing."""
    assert run([verb, str(tmp_path)]) == run([verb, str(tmp_path / "none.yaml")]) == 1
    first, _, second, _ = capsys.readouterr().err.splitlines()
    assert first == f"fanmesh: {tmp_path} is a directory, not a configuration"
    assert second == f"fanmesh: there is no file {tmp_path / 'none.yaml'}"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full is a device of Linux")
@pytest.mark.parametrize(
    "words", [["check", str(ENRICHMENT)], ["check", str(ENRICHMENT), "-o", "json"], ["schema"], ["--help"]]
)
def test_output_that_cannot_be_written_is_one_line(words: list[str]) -> None:
    """On a full disk: exit 1, and no traceback."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fanmesh.cli", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (1, "fanmesh: the output cannot be written: No space left on device\n")


def conforms(value: Any, schema: Any, definitions: dict[str, Any]) -> bool:
    """As much of JSON Schema as ours uses."""
    if schema is True or schema == {}:
        return True
    if "$ref" in schema:
        return conforms(value, definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for word in ("anyOf", "oneOf"):
        if word in schema and not any(conforms(value, each, definitions) for each in schema[word]):
            return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    named = schema.get("type", list(kinds))
    if not any(isinstance(value, kinds[kind]) for kind in ([named] if isinstance(named, str) else named)):
        return False
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, list):
        return all(conforms(item, schema.get("items", True), definitions) for item in value)
    if isinstance(value, dict):
        return _fields_conform(value, schema, definitions)
    return True


def _fields_conform(value: dict[str, Any], schema: Any, definitions: dict[str, Any]) -> bool:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, item in value.items():
        rules = [known[key]] if key in known else [rule for pattern, rule in patterns.items() if re.search(pattern, key)]
        rules = rules or [schema.get("additionalProperties", True)]
        if not all(rule is not False and conforms(item, rule, definitions) for rule in rules):
            return False
    return all(key in value for key in schema.get("required", ()))


def test_the_schema_accepts_what_the_product_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The enrichment configuration conforms to the printed schema; with a key misspelt it does not, nor does it load."""
    assert run(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    text = ENRICHMENT.read_text()

    def read(source: str) -> Any:
        loader = YAML(typ="safe", pure=True)
        loader.version = (1, 2)  # type: ignore[assignment]  # a tuple is what it takes
        return loader.load(source)

    assert conforms(read(text), schema, schema["$defs"])
    for wrong in (text.replace("soft_timeout", "soft_timout"), text.replace("effect: read", "effect: reed")):
        assert not conforms(read(wrong), schema, schema["$defs"])
        (tmp_path / "wrong.yaml").write_text(wrong)
        with pytest.raises(ConfigErrors):
            load(tmp_path / "wrong.yaml")
