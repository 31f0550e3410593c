"""What is wrong with a merge that is one more branch: its name is taken, or the request would not wait for it."""

from __future__ import annotations

from collections.abc import Sequence

from dispatcher.config.parse import Parsed
from dispatcher.config.placing import SYNTHESIS, named
from dispatcher.config.problems import Path
from dispatcher.config.shape_branches import SynthesizeShape
from dispatcher.config.shape_completion import Rule


def check_synthesis(shape: SynthesizeShape, rules: Sequence[Rule], path: Path, parsed: Parsed) -> None:
    """Add to `parsed.problems` what does not fit together between it and the plan at `path`."""
    where: Path = (*path, "merge", SYNTHESIS)
    if named(path, parsed).count(SYNTHESIS) > 1:
        parsed.complain(where, f"a branch of the plan is called {SYNTHESIS}, as the one that this adds", "another name for it")
    if shape.min_time is None and not any(cut[: len(where)] == where for cut in parsed.cut):
        message = "no time is kept for it: the others may take all there is"
        parsed.complain(where, message, "min_time: what it needs", warning=True, at_key=True)
    for position, rule in enumerate(rules):
        if rule == "all" or (rule == "required" and shape.otherwise is None):
            continue
        until: Path = (*path, "complete", "until")
        until = (*until, position) if isinstance(parsed.at(*until), list) else until
        if shape.otherwise is None:
            parsed.complain(until, "no effect: the request waits for its synthesis, which waits for all", warning=True)
        else:
            parsed.complain(until, "would complete the request before its synthesis, which waits for all", "all")
