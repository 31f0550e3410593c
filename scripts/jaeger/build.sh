#!/usr/bin/env bash
# Builds Jaeger (collector, storage in memory, query API; one process) into the file named by the argument, for `make test-jaeger`.
# About eight minutes of CPU once; Go's own caches make a second build short. Called by make when the file is older than its pins.
set -euo pipefail
out=${1:?usage: scripts/jaeger/build.sh FILE}
[[ $out == /* ]] || out=$PWD/$out
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { printf 'jaeger: %s\n' "$*"; }

# One line each ten seconds, which reads well in a log, too. Go's lines, one for each thing done, come in on standard input.
progress() {
  local count=0 began=$SECONDS last=$SECONDS line
  while read -r line; do
    count=$((count + 1))
    if ((SECONDS - last >= 10)); then
      say "$count $1, $((SECONDS - began)) s"
      last=$SECONDS
    fi
  done
  say "$count $1, $((SECONDS - began)) s"
}

if ! command -v go >/dev/null 2>&1 && [[ -x /usr/local/go/bin/go ]]; then PATH=$PATH:/usr/local/go/bin; fi
if ! command -v go >/dev/null 2>&1; then
  say "Go 1.24 or newer is needed to build it (Debian and Ubuntu: apt-get install golang)" >&2
  exit 1
fi

began=$SECONDS
log=$(mktemp) list=$(mktemp)
trap 'rm -f "$log" "$list" "$out.new"' EXIT
mkdir -p "$(dirname "$out")"
export CGO_ENABLED=0 GOWORK=off GOFLAGS="-mod=readonly -buildvcs=false -trimpath"
tool=$(sed -n 's/^tool //p' go.mod)
say "fetching $(sed -n 's/^.*\(github.com\/jaegertracing\/jaeger v[^ ]*\).*$/\1/p' go.mod) and what it is made of, with $(go env GOVERSION)"
if ! go list -deps "$tool" 2>&1 >"$list" | tee "$log" | progress "modules fetched"; then
  tail -n 20 "$log" >&2
  exit 1
fi
say "building, at most $(wc -l <"$list" | tr -d ' ') packages"
if ! go build -v -ldflags "-s -w" -o "$out.new" "$tool" 2>&1 | tee "$log" | progress "packages built"; then
  tail -n 20 "$log" >&2
  exit 1
fi
mv "$out.new" "$out"
say "done in $((SECONDS - began)) s: $(du -h "$out" | cut -f 1)"
