"""`python -m fanmesh.cli`: the same as `fanmesh`."""

from __future__ import annotations

from fanmesh.cli.main import main

if __name__ == "__main__":
    main()
