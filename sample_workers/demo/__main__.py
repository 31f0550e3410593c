"""`python -m sample_workers.demo`, which is `make demo`."""

from __future__ import annotations

from sample_workers.demo.main import app

if __name__ == "__main__":
    app()
