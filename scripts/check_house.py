"""Check what no other tool looks at: unfinished work, mocks where the real thing can run, names of machines and registries.

Over the files that git knows or would add, so that a slip is found before it is committed; words, not syntax, since it must
hold for prose, shell and YAML as well.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Guard(NamedTuple):
    """What must not be found (an extended regular expression), where (git pathspecs), and why."""

    pattern: str
    where: tuple[str, ...]
    why: str


# Patterns hold a bracket where the word would otherwise match itself.
GUARDS = (
    Guard(r"\b(TO[D]O|FIX[M]E|X[X]X)\b", (".",), "finish it, or leave it out"),
    Guard(r"\bNotImplemented[E]rror\b", ("*.py", ":!*_pb2_grpc.py"), "nothing here is a stub; an abstract seam is a Protocol"),
    Guard(r"unittest[.]mo[c]k|import mo[c]k\b|Magic[M]ock|\bmo[c]ker\b", ("tests/unit",), "run the real thing"),
    Guard(r"pyp[i][.]org|pythonhoste[d]|npmj[s][.]|proxy[.]golan[g]|/simpl[e]/", (".",), "no registry is named here"),
    Guard(r"(^|[^A-Za-z0-9_.$}-])/(hom[e]|roo[t]|User[s])/[A-Za-z0-9]", (".",), "no path of a machine is named here"),
)


def found(guard: Guard, *, fixed: bool = False) -> list[str]:
    """Lines that the guard forbids, as `file:line:text`."""
    how = "--fixed-strings" if fixed else "--extended-regexp"
    command = ["git", "grep", "--untracked", "--line-number", "-I", how, "-e", guard.pattern, "--", *guard.where]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode > 1:
        sys.exit(f"git grep failed: {run.stderr.strip()}")
    return [f"{line.strip()}\n    {guard.why}" for line in run.stdout.splitlines()]


def main() -> None:
    """Apply every guard, and one for the place where this tree happens to be."""
    lines = [line for guard in GUARDS for line in found(guard)]
    if len(ROOT.parts) > 2:  # a root such as /src would be found in any container file
        lines += found(Guard(str(ROOT), (".",), "no path of a machine is named here"), fixed=True)
    if lines:
        sys.exit("\n".join(lines))


if __name__ == "__main__":
    main()
