"""`python -m dispatcher CONFIG`: the same as `fanmesh serve CONFIG`."""

from __future__ import annotations

from dispatcher.main import main

if __name__ == "__main__":
    main()
