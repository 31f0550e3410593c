"""`fanmesh check FILE`: every problem of a configuration with its line, without starting anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.cells import cell_len

from dispatcher.config import Config, ConfigErrors, Problem
from fanmesh.cli.ends import Exit, Output
from fanmesh.cli.loading import load
from fanmesh.cli.say import WIDTH, document
from fanmesh.cli.tones import Tone, colourful, paint

LEAD: Final = 60
"""Characters that are shown left of the caret when a line is too long to be shown whole."""


def check(file: Annotated[Path, Parameter(name="FILE")] = Path("fanmesh.yaml"), /, *, output: Output = "text") -> int:
    """All errors and warnings, in the order of the file; exit 1 if there is an error.

    Args:
        file: The configuration.
        output: Text, or one JSON document.
    """
    try:
        config: Config | None = load(file)
        problems: Sequence[Problem] = config.warnings if config else ()
    except ConfigErrors as errors:
        config, problems = None, errors.problems
    if output == "json":
        document(
            {
                "ok": config is not None,
                "plans": list(config.catalogue.plans) if config else [],
                "workers": list(config.catalogue.workers) if config else [],
                "version": config.version if config else "",
                "problems": [problem._asdict() for problem in problems],
            }
        )
    else:
        if problems:
            print(report(problems, file, colour=colourful()))
        print(f"ok: {summary(config)}" if config else f"not ok: {counted(problems)}")
    return Exit.OK if config else Exit.FAILED


def summary(config: Config) -> str:
    """`4 plans, 7 workers`."""
    plans, workers = len(config.catalogue.plans), len(config.catalogue.workers)
    warnings = f", {counted(config.warnings)}" if config.warnings else ""
    return f"{plans} plan{'s' * (plans != 1)}, {workers} worker{'s' * (workers != 1)}{warnings}"


def counted(problems: Sequence[Problem]) -> str:
    """`2 errors, 1 warning`."""
    counts = [(sum(problem.severity == kind for problem in problems), kind) for kind in ("error", "warning")]
    return ", ".join(f"{count} {kind}{'s' * (count != 1)}" for count, kind in counts if count)


def report(problems: Sequence[Problem], file: Path, *, colour: bool = False) -> str:
    """The problems, each with its line of the file and a caret under the place."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    out: list[str] = []
    for problem in problems:
        out.append(paint(str(problem), Tone.BAD if problem.severity == "error" else Tone.SOSO, colour=colour))
        if 0 < problem.line <= len(lines):
            out.extend(excerpt(lines[problem.line - 1], problem.line, problem.column))
    return "\n".join(out)


def excerpt(line: str, number: int, column: int) -> list[str]:
    """The line and a caret under `column` (from 1). Of a long line only what is around the caret."""
    text = "".join(char if char.isprintable() else " " for char in line)
    at = min(max(column - 1, 0), len(text))
    room = WIDTH - 9
    if cell_len(text) > room and (cut := max(0, at - LEAD)):
        text, at = f"…{text[cut:]}", at - cut + 1
    if cell_len(text) > room:
        text = f"{text[: room - 1]}…"
    return [f"{number:>6} │ {text}".rstrip(), f"{'':>6} │ {' ' * cell_len(text[:at])}^"]
