"""Foreign methods: what their worker says, what their descriptors say, and what a branch would send them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aggregator.engine.merges import compile_merge, merge_schema
from dispatcher.config import Config, ConfigErrors, MergeCatalogue, load_file, load_text
from dispatcher.config.yaml12 import parse
from dispatcher.model.method import Method
from dispatcher.model.plan import Worker
from dispatcher.wire.contracts import describe
from tests.kit.protos import descriptors
from tests.kit.shop import shop_descriptors

MERGES = MergeCatalogue(compile_merge, merge_schema(), describe=describe)

BASE = """\
version: 1
attributes: [tenant]
workers:
  rates: {target: "c:1", effect: read, method: shop.CurrencyService/Convert, descriptors: d/shop.binpb}
plans:
  p:
    branches:
      rates: {input: {from: {currency_code: "${input.currency}", units: "${int(input.amount)}"}, to_code: EUR}}
"""

Says = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with descriptors in it."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "shop.binpb").write_bytes(shop_descriptors())
    (tmp_path / "d" / "rubbish.binpb").write_bytes(b"\xff\xff")
    (tmp_path / "d" / "empty.binpb").write_bytes(b"")
    chat = 'syntax = "proto3"; package c; message M {} service S { rpc Talk(stream M) returns (stream M); }'
    (tmp_path / "d" / "chat.binpb").write_bytes(descriptors(chat))
    return tmp_path


@pytest.fixture
def load(folder: Path) -> Callable[..., Config]:
    """Load the base with texts replaced by others."""

    def load(*changes: tuple[str, str], merges: MergeCatalogue = MERGES, local: tuple[str, ...] = ()) -> Config:
        text = BASE
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (folder / "f.yaml").write_text(text)
        return load_file(folder / "f.yaml", merges, local=local)

    return load


@pytest.fixture
def says(load: Callable[..., Config], folder: Path) -> Says:
    """What is wrong then; errors, or warnings if it loads."""

    def says(*changes: tuple[str, str]) -> list[str]:
        try:
            problems = load(*changes).warnings
        except ConfigErrors as errors:
            problems = errors.problems
        return [str(problem).removeprefix(f"{folder}/f.yaml:").replace(f"{folder}/", "") for problem in problems]

    return says


INPUT = '{from: {currency_code: "${input.currency}", units: "${int(input.amount)}"}, to_code: EUR}'
METHOD, DESCRIPTORS = "method: shop.CurrencyService/Convert", ", descriptors: d/shop.binpb"


def test_a_method_comes_with_its_descriptors(load: Callable[..., Config]) -> None:
    """Read beside the file, whatever the directory is in which the program runs."""
    rates = load().catalogue.workers["rates"]
    assert rates.method == Method("shop.CurrencyService/Convert", shop_descriptors())
    assert rates.method.service == "shop.CurrencyService"
    assert (rates.streams, rates.metadata) == (False, ())


def test_a_method_may_be_asked_of_the_server(load: Callable[..., Config]) -> None:
    """Then nothing is known before it runs, and nothing is complained about."""
    asked = load((DESCRIPTORS, ", reflection: true"), ("to_code", "two_code"), ("/Convert", "/Anything")).catalogue
    assert asked.workers["rates"].method == Method("shop.CurrencyService/Anything")


def test_a_leading_slash_is_what_logs_show(load: Callable[..., Config]) -> None:
    """The same method."""
    assert load(("method: shop", "method: /shop")).catalogue.workers == load().catalogue.workers


def test_metadata_is_a_list_of_what_is_passed_on(load: Callable[..., Config]) -> None:
    """Also for workers that speak Fanmesh's protocol; the catalogue knows all of them at once."""
    catalogue = load((DESCRIPTORS, f"{DESCRIPTORS}, metadata: [authorization, x-tenant, trace-bin]")).catalogue
    assert catalogue.workers["rates"].metadata == ("authorization", "x-tenant", "trace-bin")
    assert catalogue.metadata == {"authorization", "x-tenant", "trace-bin"}
    assert load().catalogue.metadata == frozenset()
    plain = load((f"{METHOD}{DESCRIPTORS}", "metadata: [x-tenant]")).catalogue
    assert plain.workers["rates"].metadata == ("x-tenant",)


def test_the_version_is_that_of_the_descriptors(load: Callable[..., Config], folder: Path) -> None:
    """Other descriptors are another configuration, although the file is the same."""
    before = load().version
    assert load().version == before
    message = "message M { M from = 1; string currency_code = 2; int32 units = 3; string to_code = 4; }"
    other = descriptors(f'syntax="proto3"; package shop; {message} service CurrencyService {{ rpc Convert(M) returns (M); }}')
    (folder / "d" / "shop.binpb").write_bytes(other)
    assert load().version != before


def test_whoever_does_not_know_protobuf_takes_methods_as_they_are_written() -> None:
    """The descriptors are still read, since they are part of what runs."""
    text = BASE.replace(DESCRIPTORS, ", reflection: true").replace("Convert", "Nothing")
    worker = load_text(text, filename="f", merges=MergeCatalogue(compile_merge, merge_schema())).catalogue.workers["rates"]
    assert isinstance(worker, Worker)
    assert worker.method == Method("shop.CurrencyService/Nothing")


def test_a_local_worker_may_take_the_place_of_a_method(load: Callable[..., Config]) -> None:
    """Mappings are still checked: they are written for the method."""
    assert load(local=("rates",)).catalogue.workers["rates"].method
    with pytest.raises(ConfigErrors, match="no field 'two_code'"):
        load(("to_code", "two_code"), local=("rates",))


MISTAKES: dict[str, Any] = parse((Path(__file__).parent / "methods_mistakes.yaml").read_text(), "methods").value  # type: ignore[assignment]


@pytest.mark.parametrize("case", MISTAKES.values(), ids=MISTAKES)
def test_each_mistake_is_found_at_load(says: Says, case: dict[str, str]) -> None:
    """Once, with its line and column, what would be right, and what was probably meant."""
    assert says((case["old"], case["new"])) == [case["says"]]


def test_a_method_that_answers_in_parts_says_so(says: Says, load: Callable[..., Config]) -> None:
    """`stream` and the method must agree, because everything above the call goes by `stream`."""
    history = (("/Convert", "/History"), (INPUT, "{days: 3}"))
    assert says(*history) == [
        "4:48 workers.rates.method: shop.CurrencyService/History answers in parts; expected stream: true beside it"
    ]
    assert load(*history, (DESCRIPTORS, f"{DESCRIPTORS}, stream: true")).catalogue.workers["rates"].streams


def test_the_base_is_sound(says: Says) -> None:
    """It has no problem of its own."""
    assert says() == []


def test_a_file_that_is_too_large_is_not_read_whole(says: Says, folder: Path) -> None:
    """A mistaken path must not fill the memory."""
    with (folder / "d" / "shop.binpb").open("wb") as file:
        file.truncate(2**24 + 1)
    assert says() == [
        f"4:91 workers.rates.descriptors: d/shop.binpb has more than {2**24} bytes; expected a serialised FileDescriptorSet"
    ]


@pytest.mark.parametrize("key", ["descriptors: 5", "reflection: maybe"])
def test_one_mistake_gives_one_message(says: Says, key: str) -> None:
    """What is wrong by itself is not also missing."""
    (said,) = says((DESCRIPTORS, f", {key}"))
    assert key.split(":", maxsplit=1)[0] in said
