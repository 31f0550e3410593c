"""Foreign methods: their descriptors are read here, and understood elsewhere.

`dispatcher.config` knows nothing of protobuf, so whoever puts the two together passes in what does, as with merges. Descriptors
are read at load and not at the first call, because a misspelt method is a mistake in the file, with a line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path as File
from typing import Final, TypeAlias

from dispatcher.config.parse import Parsed
from dispatcher.config.placing import instead, placed
from dispatcher.config.problems import Path, listed, near
from dispatcher.config.shape import FileShape, WorkerShape
from dispatcher.model.method import Described, Method, NotDescribed
from fanmesh.model.values import JsonValue

DescribeMethod: TypeAlias = Callable[[Method], Described]
"""What a method takes and returns, by its descriptors. Raises NotDescribed."""

MAX_BYTES: Final = 16 * 2**20
"""A longer file is no set of descriptors: all of Google's public interfaces together have about as much."""


def check_method(worker: WorkerShape, path: Path, parsed: Parsed) -> None:
    """Complain about keys of the worker at `path` that do not go with its method, or without one."""
    if worker.method is None:
        if parsed.is_cut((*path, "method")):
            return
        for key, given in (("descriptors", worker.descriptors is not None), ("reflection", worker.reflection)):
            if given:
                parsed.complain((*path, key), "there is no method that it describes", "method beside it", at_key=True)
        return
    if worker.descriptors is not None and worker.reflection:
        parsed.complain((*path, "reflection"), "the descriptors are given already", "one of descriptors and reflection: true")
    elif worker.descriptors is None and not worker.reflection and not _any_cut(path, parsed, "descriptors", "reflection"):
        message = "nobody knows what this method takes and returns"
        parsed.complain((*path, "method"), message, "descriptors: FILE, or reflection: true")
    if worker.attributes:
        message = "no effect: a foreign method is told what its branch's `input` says, and may read attributes there"
        parsed.complain((*path, "attributes"), message, warning=True, at_key=True)


def read_methods(shape: FileShape, parsed: Parsed) -> dict[str, Method]:
    """The methods of the workers that have one. A file that cannot be read is complained about; its worker has none then."""
    found: dict[str, Method] = {}
    for name, worker in shape.workers.items():
        if worker.method is None:
            continue
        if worker.descriptors is None:
            found[name] = Method(worker.method)
        elif (data := _read(worker.descriptors, ("workers", name, "descriptors"), parsed)) is not None:
            found[name] = Method(worker.method, data)
    return found


def check_methods(
    shape: FileShape, methods: dict[str, Method], describe: DescribeMethod, parsed: Parsed, local: Collection[str]
) -> None:
    """Complain about methods that their descriptors do not have, and about mappings that their requests cannot take.

    Of a method that the server is asked about nothing is known before it runs.
    """
    described: dict[str, Described] = {}
    for name, method in methods.items():
        if method.descriptors and (known := _described(name, method, describe, parsed)) is not None:
            described[name] = known
            if name not in local:
                _check_stream(shape.workers[name], known, ("workers", name), parsed)
    for plan, keys in shape.plans.items():
        for branch, node in placed(keys, ("plans", plan)).items():
            _check_input(node.shape.input, node.path, described.get(node.shape.worker or branch), parsed)
            for other in instead(node):
                if (worker := other.shape.worker) is not None:
                    _check_input(other.shape.input, other.path, described.get(worker), parsed)


def _check_input(given: JsonValue, path: Path, target: Described | None, parsed: Parsed) -> None:
    if target is None or given is None:
        return
    for misfit in target.misfits(given):
        expected = listed(misfit.known) if misfit.known else ""
        message = f"{misfit.message}{near(misfit.wrong, misfit.known)}"
        parsed.complain((*path, "input", *misfit.path), message, expected, at_key=bool(misfit.known))


def _any_cut(path: Path, parsed: Parsed, *keys: str) -> bool:
    return any(parsed.is_cut((*path, key)) for key in keys)


def _read(name: str, path: Path, parsed: Parsed) -> bytes | None:
    file = File(parsed.document.filename).parent / name
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = getattr(error, "strerror", None) or str(error)
        expected = "what `protoc --include_imports --descriptor_set_out=FILE` writes"
        parsed.complain(path, f"{file} cannot be read: {why}", expected)
        return None
    if not data or len(data) > MAX_BYTES:
        what = "is empty" if not data else f"has more than {MAX_BYTES} bytes"
        parsed.complain(path, f"{file} {what}", "a serialised FileDescriptorSet")
        return None
    return data


def _described(name: str, method: Method, describe: DescribeMethod, parsed: Parsed) -> Described | None:
    try:
        return describe(method)
    except NotDescribed as unknown:
        expected = listed(unknown.known) if unknown.known else ""
        message = f"{unknown.message}{near(unknown.wrong, unknown.known)}"
        parsed.complain(("workers", name, unknown.key), message, expected)
        return None


def _check_stream(worker: WorkerShape, known: Described, path: Path, parsed: Parsed) -> None:
    if known.streams and not worker.stream and not parsed.is_cut((*path, "stream")):
        parsed.complain((*path, "method"), f"{worker.method} answers in parts", "stream: true beside it")
    elif worker.stream and not known.streams:
        parsed.complain((*path, "stream"), f"{worker.method} answers once", "no stream: true")
