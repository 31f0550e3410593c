"""Compiles one CEL text: typed check, what it reads, and the loose program that runs.

Why reads are found by compiling again without one name each: whether `branches.geo.ok` is a read, a word in a string, or a
variable of a macro that happens to be called `branches`, only CEL's own name resolution knows. It costs at most half a
millisecond a name, once, at load.
"""

from dataclasses import dataclass, field

from fanmesh.expr.diagnose import diagnose, needless_has
from fanmesh.expr.environment import CelEnv, CelProgram, CelType, fast, strict
from fanmesh.expr.errors import ExprError
from fanmesh.expr.lexer import Kind, tokens
from fanmesh.expr.scope import Scope


@dataclass(frozen=True, slots=True)
class Reads:
    """What is read: attribute names, the fields of each branch, and names read whole."""

    attributes: frozenset[str] = frozenset()
    branches: dict[str, frozenset[str]] = field(default_factory=dict)
    bare: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: frozenset[tuple[str, ...]]) -> "Reads":
        """Sorts names, as `Scope.names` spells them, by their root."""
        branches: dict[str, frozenset[str]] = {}
        for name in names:
            if name[0] == "branches":
                branches[name[1]] = branches.get(name[1], frozenset()) | {name[2]}
        return cls(
            attributes=frozenset(name[1] for name in names if name[0] == "attributes"),
            branches=branches,
            bare=frozenset(name[0] for name in names if len(name) == 1),
        )

    def roots(self) -> frozenset[str]:
        """The first segments: `bare`, and `attributes` and `branches` if anything under them is read."""
        return (
            self.bare
            | (frozenset({"attributes"}) if self.attributes else frozenset())
            | (frozenset({"branches"}) if self.branches else frozenset())
        )


@dataclass(frozen=True, slots=True)
class Program:
    """A checked expression: `result` is its static type, `names` what it reads, `cel` runs in `env`."""

    source: str
    names: frozenset[tuple[str, ...]]
    result: CelType
    env: CelEnv
    cel: CelProgram


def compile_program(source: str, scope: Scope) -> Program:
    """Checks and compiles `source`.

    Raises:
        ExprError: syntax, a name outside `scope`, a type error, or a `has` that could never be false.
    """
    if not source.strip():
        raise ExprError("the expression is empty", source, 0)
    try:
        source.encode()
    except UnicodeEncodeError as error:
        raise ExprError("a lone surrogate is not text", source, error.start) from None
    found = list(tokens(source))
    if (needless := needless_has(found, source)) is not None:
        raise needless
    # Only mentioned names can be read; leaving the others out keeps the environments small in plans with many branches.
    mentioned = {token.text for token in found if token.kind is Kind.NAME}
    names = frozenset(name for name in scope.names() if mentioned.issuperset(name))
    try:
        result = strict(names).compile(source).return_type()
        env = fast(scope.bare)
        program = env.compile(source)
    except RuntimeError as error:
        raise diagnose(str(error), source, scope) from None
    read = frozenset(name for name in names if not _compiles(source, names - {name}))
    return Program(source, read, result, env, program)


def _compiles(source: str, names: frozenset[tuple[str, ...]]) -> bool:
    try:
        strict(names).compile(source)
    except RuntimeError:
        return False
    return True
