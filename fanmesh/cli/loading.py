"""A configuration file, with the merges that this installation has."""

from __future__ import annotations

from pathlib import Path

from dispatcher.assembly import MERGES
from dispatcher.config import Config, ConfigErrors, load_file
from fanmesh.cli.ends import Stop


def load(file: Path) -> Config:
    """The configuration in `file`. Raises ConfigErrors; Stop if there is no such file."""
    if not file.is_file():
        what = f"{file} is a directory, not a configuration" if file.is_dir() else f"there is no file {file}"
        raise Stop(what, "name the file, or make a project with `fanmesh init DIR`")
    return load_file(file, MERGES)


def load_or_stop(file: Path) -> Config:
    """The same, ending the program with every problem."""
    try:
        return load(file)
    except ConfigErrors as errors:
        from fanmesh.cli.check import counted, report  # noqa: PLC0415  (check loads by this module)

        shown = report(errors.problems, file)
        raise Stop(
            f"{file} cannot be used ({counted(errors.problems)})\n{shown}",
            f"correct it, and try `fanmesh check {file}`",
            more={"problems": [problem._asdict() for problem in errors.problems]},
        ) from errors
