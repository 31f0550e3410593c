"""The two CEL environments of an expression: a typed one that judges it at load, a loose one over plain dicts that runs it.

Why two: types belong to leaves (`branches.geo.confidence` is a double), but what runs must see `branches` as one map, because
that is what a caller can hand over in one piece and what macros such as `has` look into. Running on typed messages instead
costs about seven times as much per evaluation, most of it in building the messages.
"""

from functools import lru_cache
from typing import Any, Final, TypeAlias

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

from fanmesh.expr.scope import DOUBLES, Leaf

CelEnv: TypeAlias = Any  # the library's classes are untyped for us: its stubs are not marked as such
CelProgram: TypeAlias = Any
CelType: TypeAlias = Any

BOOL: Final[CelType] = cel.Type.BOOL
DYN: Final[CelType] = cel.Type.DYN
ERROR: Final[CelType] = cel.Type.ERROR

# What authors miss most in bare CEL: lowerAscii/split/join/replace, math.least/greatest, and `input.?x.orValue(0)`.
_EXTENSIONS: Final = (ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional())

_LEAVES: Final[dict[str, CelType]] = {
    Leaf.OK.value: BOOL,
    Leaf.STATE.value: cel.Type.STRING,
    Leaf.CONFIDENCE.value: cel.Type.DOUBLE,
    Leaf.OUTPUT.value: DYN,
}


def _type_of(name: tuple[str, ...]) -> CelType:
    match name:
        case ("attributes", _):
            return cel.Type.STRING
        case ("branches", _, leaf):
            return _LEAVES[leaf]
        case (bare,) if bare in DOUBLES:
            return cel.Type.DOUBLE
        case _:
            return DYN


@lru_cache(maxsize=64)
def strict(names: frozenset[tuple[str, ...]]) -> CelEnv:
    """Knows exactly `names`, each with its type; every other name is a compile error.

    Kept because the first compilation in an environment costs half a millisecond, the next ones 15 µs, and the expressions of
    a configuration mention few different sets of names. One takes about 140 kB.
    """
    return cel.NewEnv(variables={".".join(name): _type_of(name) for name in names}, extensions=_EXTENSIONS)


@lru_cache(maxsize=64)
def fast(bare: frozenset[str]) -> CelEnv:
    """Knows `attributes`, `branches` and `bare`, all of them dynamic; the expressions of a template share its activations."""
    return cel.NewEnv(variables=dict.fromkeys(bare | {"attributes", "branches"}, DYN), extensions=_EXTENSIONS)
