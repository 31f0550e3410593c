#!/usr/bin/env bash
# The fuzz of the fast transport over an engine that is built to notice wrong uses of memory, with GCC's AddressSanitizer and UBSan.
# Builds ngh2 as pinned, from source, into .tools (a minute or two, once; needs GCC and CMake). Arguments are the fuzz's.
#
# Python itself is not instrumented: it need not be, since all that it allocates comes from malloc here, which is watched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$PWD/.venv/bin/python

say() { printf 'fuzz-asan: %s\n' "$*"; }

for tool in gcc cmake; do
  if ! command -v $tool >/dev/null; then
    say "$tool is needed to build the engine (Debian and Ubuntu: apt-get install gcc cmake ninja-build)" >&2
    exit 1
  fi
done

version=$(sed -n 's/^ngh2==//p' constraints.txt)
engine=$PWD/.tools/asan/ngh2-$version-$("$python" -c 'import sys; print(sys.implementation.cache_tag)')
if [[ ! -d $engine ]]; then
  say "building ngh2 $version"
  log=$(mktemp)
  trap 'rm -rf "$log" "$engine.new"' EXIT
  rm -rf "$engine.new"
  if ! CC=gcc CFLAGS="-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" \
    PIP_CONSTRAINT=$PWD/constraints.txt PIP_BUILD_CONSTRAINT=$PWD/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
    "$python" -m pip install --no-cache-dir --no-deps --no-binary ngh2 --target "$engine.new" "ngh2==$version" \
    --config-settings=cmake.build-type=None --config-settings=install.strip=false >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    exit 1
  fi
  mv "$engine.new" "$engine"
fi

# A short quarantine: the fuzz watches its own memory, too.
watched() {
  PYTHONPATH=$engine PYTHONMALLOC=malloc LD_PRELOAD=$(gcc -print-file-name=libasan.so) \
    ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1 "$python" "$@"
}

if watched -c 'import ctypes; ctypes.memset(ctypes.create_string_buffer(1000), 0, 1001)' 2>/dev/null; then
  say "a byte written behind its buffer goes unnoticed here" >&2
  exit 1
fi
watched -c "import ngh2._core, sys; sys.exit(not ngh2._core.__file__.startswith('$engine/'))"

watched -m pytest -q tests/wire/test_fast_collected.py
watched -m tests.wire.fuzz_fast --inputs 200000 "$@"
