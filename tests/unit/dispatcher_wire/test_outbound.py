"""What becomes of a result that cannot be written."""

from __future__ import annotations

import pytest

from dispatcher.model.request import Refusal
from dispatcher.wire.outbound import written
from fanmesh.jsontext import DEPTH
from fanmesh.model.fault import Code
from fanmesh.model.values import JsonValue
from fanmesh.payload import Kind


@pytest.mark.parametrize("kind", Kind)
def test_a_result_that_json_cannot_hold_is_not_the_callers_mistake(kind: Kind) -> None:
    """Nobody is told to ask for JSON where it was to be JSON."""
    value: JsonValue = 1
    for _ in range(DEPTH + 1):
        value = [value]
    refused = written(value, kind)
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.reason) == (Code.RESOURCE_EXHAUSTED, "RESULT_TOO_LARGE")
    assert refused.message.endswith("nested deeper than 100 levels")
