"""Draw docs/img/plan-order.svg from the first plan in docs/plans.md, with `fanmesh explain --graph svg`.

    .venv/bin/python scripts/draw_plans.py

tests/composition/test_plans_page.py fails if the file is not what would be drawn.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
TARGET: Final = DOCS / "img" / "plan-order.svg"


def main() -> None:
    """Write it."""
    (block,) = re.findall(r"^```yaml\n(version:.*?)^```$", (DOCS / "plans.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "fanmesh.yaml"
        file.write_text(block, "utf-8")
        words = [sys.executable, "-m", "fanmesh.cli", "explain", "order", "--config", str(file), "--graph", "svg"]
        TARGET.write_text(subprocess.run(words, check=True, capture_output=True, text=True).stdout, "utf-8")


if __name__ == "__main__":
    main()
