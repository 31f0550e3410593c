"""A gRPC method of a service that need not know of Fanmesh, as a worker names it.

Only its name, and the bytes that say what it takes and returns: what they mean is protobuf's business, which stands in `wire`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from fanmesh.model.values import JsonValue


@dataclass(frozen=True, slots=True)
class Method:
    """`name` is `package.Service/Method`. `descriptors`: a serialised FileDescriptorSet; empty = the server is asked."""

    name: str
    descriptors: bytes = b""

    @property
    def service(self) -> str:
        """`package.Service`."""
        return self.name.partition("/")[0]


class Misfit(NamedTuple):
    """A place in a mapping that the method's request cannot take. `path` leads there; `known`: what could stand there."""

    path: tuple[str | int, ...]
    message: str
    wrong: str = ""
    known: tuple[str, ...] = ()


class Described(Protocol):
    """A method whose request and response are known."""

    @property
    def streams(self) -> bool:
        """Whether it answers in parts."""
        ...

    def misfits(self, template: JsonValue, /) -> Sequence[Misfit]:
        """What of a mapping, in which strings may hold `${…}`, can never become the request."""
        ...


class NotDescribed(ValueError):  # noqa: N818  (what the method is)
    """Nothing usable is known of a method. `key`: whose fault it is. `wrong` is none of the names in `known`."""

    def __init__(
        self, message: str, key: Literal["method", "descriptors"], *, wrong: str = "", known: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.key: Literal["method", "descriptors"] = key
        self.wrong = wrong
        self.known = tuple(known)
