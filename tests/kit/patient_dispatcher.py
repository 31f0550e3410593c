"""`python -m dispatcher CONFIG` without a limit on the aggregator's acknowledgements.

For tests that count what the remote aggregator does on a machine that is busy with other things.
"""

from __future__ import annotations

import sys
from pathlib import Path

from dispatcher.main import run
from dispatcher.settings import Settings
from fanmesh.runtime import logs

if __name__ == "__main__":
    logs.configure()
    run(Path(sys.argv[1]), Settings(ack_limit=False))
