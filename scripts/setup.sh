#!/usr/bin/env bash
# Makes .venv and installs the project with the extra named by the first argument (demo or dev), exactly as pinned.
# Called by make when a stamp is older than pyproject.toml or constraints.txt; running it again is harmless.
#
# Why plain venv and pip: they come with Python, so a fresh machine needs nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
extra=${1:?usage: scripts/setup.sh demo|dev}

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    if usable "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  echo "setup: Python 3.11 or newer is needed, with its venv module; looked for: ${PYTHON:-python3.13 python3.12 python3.11 python3}." >&2
  echo "       On Debian and Ubuntu: apt-get install python3 python3-venv. Elsewhere, or to choose one: make setup PYTHON=/path/to/python3" >&2
  return 1
}

fresh=no
if ! usable .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  python=$(find_python)
  echo "setup: making .venv with $("$python" --version) ($python)"
  rm -rf .venv
  if ! "$python" -m venv .venv; then
    rm -rf .venv
    echo "setup: $python cannot make a virtual environment; its venv module is needed (Debian and Ubuntu: apt-get install python3-venv)" >&2
    exit 1
  fi
  fresh=yes
fi

# The environment variables also bind what pip builds in isolation: the first is read by pip before 25.3, the second since.
export PIP_CONSTRAINT=$PWD/constraints.txt PIP_BUILD_CONSTRAINT=$PWD/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
echo "setup: installing fanmesh[$extra] as pinned in constraints.txt (quiet; a minute on a fresh machine)"
began=$SECONDS
.venv/bin/python -m pip install --quiet --no-input --editable ".[$extra]"
# What somebody adds to their own environment is theirs until `make check`; what we install is judged here.
if [[ $fresh == yes ]]; then .venv/bin/python scripts/check_pins.py; fi
touch .venv/.demo
if [[ $extra == dev ]]; then touch .venv/.dev; fi
echo "setup: done in $((SECONDS - began)) s"
