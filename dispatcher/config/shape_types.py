"""The kinds of value a configuration holds, for pydantic and for the JSON Schema at once.

`x-unit` and `x-type` in the schema are for the documentation; editors skip what they do not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, StringConstraints, WithJsonSchema

from dispatcher.config import addresses, method_values, policy_values, quantities
from fanmesh.model.fault import Code
from fanmesh.model.names import NAME_PATTERN


class Section(BaseModel):
    """A mapping of the file: unknown keys are errors, and no value is converted from another kind."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _text(kind: str, pattern: str, *examples: str, unit: str = "") -> WithJsonSchema:
    more = {"x-unit": unit} if unit else {}
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples), "x-type": kind, **more})


_DURATION: Final = _text("duration", quantities.DURATION_PATTERN, "300ms", "1.5s", "2m", unit="us, ms, s, m, h")
_ZERO: Final = WithJsonSchema(
    {"anyOf": [_DURATION.json_schema, {"const": 0}], "x-type": "duration", "x-unit": "us, ms, s, m, h"}
)

Id: TypeAlias = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Duration: TypeAlias = Annotated[int, PlainValidator(quantities.parse_duration), _ZERO]
PositiveDuration: TypeAlias = Annotated[int, PlainValidator(quantities.parse_positive_duration), _DURATION]
Size: TypeAlias = Annotated[
    int,
    PlainValidator(quantities.parse_size),
    _text("size", quantities.SIZE_PATTERN, "512KiB", "1MiB", unit="B, KiB, MiB, GiB"),
]
Memory: TypeAlias = Annotated[
    int,
    PlainValidator(quantities.parse_memory),
    _text("size", quantities.SIZE_PATTERN, "512MiB", "2GiB", unit="B, KiB, MiB, GiB"),
]
After: TypeAlias = Annotated[
    float | int,
    PlainValidator(policy_values.parse_after),
    _text("quantile or duration", policy_values.AFTER_PATTERN, "p95", "p99.9", "20ms", unit="us, ms, s, m, h"),
]
FailureCode: TypeAlias = Annotated[
    Code,
    PlainValidator(policy_values.parse_code),
    WithJsonSchema({"type": "string", "enum": list(policy_values.FAILURES), "x-type": "gRPC code"}),
]
HostPort: TypeAlias = Annotated[str, PlainValidator(addresses.parse_host_port), _text("host:port", ":[0-9]+$", "geo-0:50051")]
Listen: TypeAlias = Annotated[
    str, PlainValidator(addresses.parse_listen), _text("address", "^unix:|:[0-9]+$", "127.0.0.1:50050")
]
Target: TypeAlias = Annotated[
    str, PlainValidator(addresses.parse_target), _text("target", ":", "dns:///geo:50051", "geo:50051")
]
Aggregator: TypeAlias = Annotated[str, PlainValidator(addresses.parse_aggregator), _text("target", "^embedded$|:", "embedded")]
Function: TypeAlias = Annotated[str, PlainValidator(addresses.parse_callable), _text("module:function", ":", "workers.geo:geo")]
MethodName: TypeAlias = Annotated[
    str,
    PlainValidator(method_values.parse_method),
    _text("method", method_values.METHOD_PATTERN, "shop.CurrencyService/Convert"),
]
MetadataKey: TypeAlias = Annotated[
    str, PlainValidator(method_values.parse_metadata_key), _text("metadata key", method_values.KEY_PATTERN, "authorization")
]
Tolerance: TypeAlias = Annotated[
    int | float,
    PlainValidator(quantities.parse_tolerance),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": quantities.PERCENT_PATTERN}],
            "x-type": "count or percentage",
            "examples": [3, "10%"],
        }
    ),
]
Cel: TypeAlias = Annotated[str, Field(json_schema_extra={"x-type": "CEL", "examples": ['attributes.task == "enrich"']})]
Template: TypeAlias = Annotated[Any, Field(json_schema_extra={"x-type": "value with ${CEL}"})]
Ratio: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


def choice(of: Callable[[Any], str | None], expected: str) -> Discriminator:
    """Tells the arms of a choice apart by looking, so that a mistake is reported for the arm that was meant, not for all."""
    return Discriminator(of, custom_error_type="choice", custom_error_message=expected)


def only_key(value: Any) -> str | None:
    """The key of a one-key mapping as the tag `(key)`: in brackets, so that no key of a document is mistaken for a tag."""
    match value:
        case dict() if len(value) == 1:
            return f"({next(iter(value))})"
        case BaseModel():  # already validated: asked again when it is written out
            return f"({next(iter(type(value).model_fields))})"
        case _:
            return None
