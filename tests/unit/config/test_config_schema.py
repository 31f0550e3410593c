"""The JSON Schema, and the page made from it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dispatcher.config import Config, MergeCatalogue, json_schema
from dispatcher.config.yaml12 import parse

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "configuration.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
MISTAKES: dict[str, Any] = {}
for file in sorted(Path(__file__).parent.glob("mistakes*.yaml")):
    MISTAKES |= parse(file.read_text(), file.name).value  # type: ignore[operator]


@pytest.fixture
def validator(merges: MergeCatalogue) -> Draft202012Validator:
    return Draft202012Validator(json_schema(merges.schema))


def sections(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "the file", schema
    yield from schema["$defs"].items()


def test_it_is_a_schema(validator: Draft202012Validator) -> None:
    """It is valid by its own draft, and says which that is."""
    Draft202012Validator.check_schema(validator.schema)
    assert validator.schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_section_and_key_is_described(merges: MergeCatalogue) -> None:
    """Editors show the description at the key; a section that is referred to has its own."""
    for name, section in sections(json_schema(merges.schema)):
        assert section.get("description"), name
        for key, field in section.get("properties", {}).items():
            assert field.get("description") or "$ref" in field, (name, key)


def test_unknown_keys_are_underlined(merges: MergeCatalogue) -> None:
    """Every section is closed."""
    for name, section in sections(json_schema(merges.schema)):
        if name != "Merge":
            assert section["additionalProperties"] is False, name


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_of_the_page_load_and_fit_the_schema(
    load: Callable[..., Config], validator: Draft202012Validator, text: str
) -> None:
    """Every YAML block of the documentation is valid, without a warning."""
    assert load(text=text).warnings == ()
    assert list(validator.iter_errors(parse(text, "page").value)) == []


@pytest.mark.parametrize(
    "name",
    [
        "unknown key",
        "count of nothing",
        "predicate with another key",
        "confidence above all",
        "quiet without a unit",
        "unknown rule",
        "name",
        "no effect",
        "boolean weight",
        "duration without unit",
        "size in powers of ten",
        "unknown key of a policy",
        "retries that are a number",
        "eleven attempts",
        "unknown code",
        "code that is no failure",
        "code given twice",
        "quantile too low",
        "quantile too high",
        "quantile too fine",
        "hedges for nothing",
        "failure rate of all",
        "unknown balance",
        "policy name",
        "unknown endpoints",
        "no call at once",
        "rate without a number",
        "faults above all",
        "memory above all",
    ],
)
def test_what_an_editor_can_see_is_underlined(validator: Draft202012Validator, name: str) -> None:
    """Mistakes within one key are errors of the schema as well."""
    base = (Path(__file__).parent / "conftest.py").read_text().split('"""\\\n', 1)[1].split('"""', 1)[0]
    assert list(validator.iter_errors(parse(base, "f").value)) == []
    bent = base.replace(MISTAKES[name]["old"], MISTAKES[name]["new"], 1)
    assert list(validator.iter_errors(parse(bent, "f").value)) != []


def generator() -> ModuleType:
    """The program that writes the page."""
    spec = importlib.util.spec_from_file_location("gen_configuration_doc", ROOT / "scripts" / "gen_configuration_doc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_generator_writes() -> None:
    """docs/configuration.md is generated, and up to date."""
    assert generator().page() == PAGE


def test_every_key_of_the_schema_stands_in_the_page(merges: MergeCatalogue) -> None:
    """In the table of its own section; a step of a cascade has those of a branch as well, and says so."""
    module = generator()
    keys = {
        title: set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
        for title, _, text in (part.partition("\n") for part in PAGE.split("\n## ")[1:])
    }
    titles = {definition or "the file": title for title, definition, _ in module.SECTIONS}
    for name, section in sections(json_schema(merges.schema)):
        base = module.EXTENDS.get(name)
        there = keys[titles.get(name, "Merges")] | (keys[titles[base]] if base else set())
        assert set(section.get("properties", {})) <= there, name
        assert name in titles or name == "Merge"


def test_every_link_of_the_page_leads_to_a_section() -> None:
    """Only what is a merge is said to be one."""
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^##+ (.*)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(.*?)\)", PAGE)) <= headings
    assert re.findall(r"^\| `(\w+)` \| .*\(#merges\)", PAGE, re.MULTILINE) == ["merge"]
