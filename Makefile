# The only front door. `make` alone lists what there is; every target installs first what it needs, and says so.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
CODE := fanmesh dispatcher aggregator sample_workers scripts tests bench examples
ENRICHMENT := sample_workers/enrichment/fanmesh.yaml

# 100 % of these, branches included: they hold the rules, and none of them waits for anything.
PURE := fanmesh/model/*,dispatcher/model/*,dispatcher/policies/*,aggregator/engine/*
PURE := $(PURE),dispatcher/flow/account.py,dispatcher/flow/alarms.py,dispatcher/flow/answers.py,dispatcher/flow/prepare.py
PURE := $(PURE),dispatcher/flow/route.py,dispatcher/flow/rows.py,dispatcher/flow/schedule.py,dispatcher/flow/staging.py
PURE := $(PURE),dispatcher/flow/statuses.py,dispatcher/flow/expansion.py,dispatcher/flow/ledger.py

.PHONY: help setup demo serve evaluate test test-fast test-jaeger test-k8s tools interop-tools fuzz fuzz-asan unit check fmt lint types imports house protos protos-check protos-freeze docs docs-check cov bench clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A stamp is as old as the last installation: changed ranges or pins install again, everything else costs nothing.
.venv/.dev: pyproject.toml constraints.txt scripts/setup.sh scripts/check_pins.py
	@scripts/setup.sh dev

# `demo` is part of `dev`, so an environment that has been set up whole is not touched again.
.venv/.demo: pyproject.toml constraints.txt scripts/setup.sh scripts/check_pins.py
	@scripts/setup.sh $$(test -e .venv/.dev && echo dev || echo demo)

# ---------------------------------------------------------------- what people run

setup: .venv/.dev ## Make .venv with everything pinned in constraints.txt (PYTHON=… chooses the interpreter)

demo: .venv/.demo ## Real processes, real data: show each claim, and check it
	@$(BIN)/python -m sample_workers.demo

serve: .venv/.demo ## The enrichment workers and a dispatcher on this machine, reloaded on save (^C ends them)
	@$(BIN)/fanmesh dev $(ENRICHMENT)

evaluate: .venv/.demo ## Three search engines and their fusion on 1,594 questions: is fusing worth it? (a minute or two)
	@$(BIN)/python -m sample_workers.search.evaluate

# ---------------------------------------------------------------- tests

test: .venv/.dev ## All tests
	@$(BIN)/pytest

test-fast: .venv/.dev ## The suites of the wire, and the conformance cases, over the second transport
	@FANMESH_TRANSPORT=fast $(BIN)/pytest -q tests/wire tests/conformance tests/regressions

unit: .venv/.dev ## The inner loop: everything that needs no process and no socket, in seconds
	@$(BIN)/pytest -q -n auto --maxprocesses=8 --dist=worksteal --hypothesis-profile=unit -m "not slow" tests/unit tests/properties tests/composition

test-jaeger: .venv/.dev .tools/bin/jaeger ## The demo's requests, traced, and read back from a real Jaeger (built once: ten minutes, needs Go)
	@$(BIN)/pytest -q tests/jaeger

.tools/bin/jaeger: scripts/jaeger/go.mod scripts/jaeger/go.sum scripts/jaeger/build.sh
	@scripts/jaeger/build.sh $@

test-k8s: .venv/.dev tools .tools/apiserver ## Give the manifests to a real kube-apiserver (built once: ten minutes, needs Go)
	@$(BIN)/pytest -q tests/deploy/live_apiserver.py

tools: .tools/deploy ## kustomize and kubeconform, built from Go modules into .tools/bin (a minute once, needs Go)

GO_BUILD := GOFLAGS="-mod=readonly -buildvcs=false" go build

.tools/deploy: deploy/tools/go.mod deploy/tools/go.sum
	@echo "tools: building kustomize and kubeconform"
	@mkdir -p .tools/bin
	@cd deploy/tools && $(GO_BUILD) -o ../../.tools/bin/ sigs.k8s.io/kustomize/kustomize/v5 github.com/yannh/kubeconform/cmd/kubeconform
	@touch $@

interop-tools: .venv/.dev $(if $(shell command -v go),.tools/interop/more) $(if $(shell command -v npm),.tools/interop/node/interop.js) $(if $(shell command -v mvn),.tools/interop/java/built) ## Foreign gRPC programs for tests/interop, into .tools/interop (a minute once)

fuzz: .venv/.dev ## A million things that a peer may say to the fast transport, seeded (some minutes)
	@$(BIN)/python -X faulthandler -m tests.wire.fuzz_fast

fuzz-asan: .venv/.dev ## A fifth of that, over an engine built to notice wrong uses of memory (once two minutes; needs GCC and CMake)
	@scripts/fuzz_asan.sh

# gRPC's own interop client and server, as published in the module, and a program of ours for what they leave out.
.tools/interop/more: tests/interop/go/go.mod tests/interop/go/go.sum tests/interop/go/more/main.go
	@echo "interop-tools: building grpc-go's interop programs"
	@mkdir -p .tools/interop
	@cd tests/interop/go && $(GO_BUILD) -ldflags "-s -w" -o ../../../.tools/interop/ google.golang.org/grpc/interop/client google.golang.org/grpc/interop/server ./more
	@touch $@

.tools/interop/node/interop.js: tests/interop/node/interop.js tests/interop/node/package.json
	@echo "interop-tools: installing grpc-js"
	@mkdir -p $(@D)
	@cp tests/interop/node/package.json tests/interop/node/.npmrc $(@D)/
	@cd $(@D) && npm install --no-package-lock --no-audit --no-fund --silent
	@cp $< $@

.tools/interop/java/built: tests/interop/java/pom.xml tests/interop/protos/testservice.proto $(wildcard tests/interop/java/src/main/java/dev/example/interop/*.java)
	@echo "interop-tools: building with grpc-java"
	@mkdir -p $(@D)
	@rm -rf $(@D)/src
	@cp -r tests/interop/java/pom.xml tests/interop/java/src $(@D)/
	@cd $(@D) && mvn -q -B -Dprotos=$(CURDIR)/tests/interop/protos compile
	@touch $@

.tools/apiserver: deploy/tools/apiserver/go.mod deploy/tools/apiserver/go.sum
	@echo "tools: building kube-apiserver and etcd (ten minutes of CPU)"
	@mkdir -p .tools/bin
	@cd deploy/tools/apiserver && $(GO_BUILD) -ldflags "-s -w" -o ../../../.tools/bin/ k8s.io/kubernetes/cmd/kube-apiserver
	@cd deploy/tools/apiserver && $(GO_BUILD) -ldflags "-s -w" -o ../../../.tools/bin/etcd go.etcd.io/etcd/server/v3
	@touch $@

cov: .venv/.dev ## All tests with branch coverage: 100 % of the pure parts, 90 % of the rest
	@$(BIN)/pytest -q --cov --cov-report=
	@$(BIN)/coverage report --fail-under=100 --include='$(PURE)'
	@$(BIN)/coverage report --fail-under=90

bench: .venv/.dev ## Measure, in about a quarter of an hour: CPU against a bare gather, what policies pay; into bench/results and docs/bench
	@$(BIN)/python -m bench.run_all

# ---------------------------------------------------------------- gates

check: lint types imports protos-check docs-check house ## Every gate but the tests
	@echo "check: clean"

lint: .venv/.dev ## ruff: rules and format
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

fmt: .venv/.dev ## ruff: fix and format in place
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

types: .venv/.dev ## mypy --strict
	@$(BIN)/mypy

imports: .venv/.dev ## import-linter: who may import whom
	@$(BIN)/lint-imports

house: .venv/.dev ## What no other tool looks at: pins, left-over work, names of machines
	@$(BIN)/python scripts/check_pins.py
	@$(BIN)/python scripts/check_house.py

protos: .venv/.dev ## Regenerate the stubs in fanmesh/v1 from protos/
	@$(BIN)/python scripts/gen_protos.py

# Against an image in the tree and not against a branch or a tag: it is there in a shallow clone and in an archive, and what is
# frozen changes only in a commit that shows it. See protos/README.md.
protos-check: .venv/.dev ## buf lint, buf breaking (FILE) against scripts/frozen_protos.json, and no drift of the stubs
	@cd protos && ../$(BIN)/buf lint && ../$(BIN)/buf breaking --against ../scripts/frozen_protos.json
	@$(BIN)/python scripts/gen_protos.py --check

protos-freeze: .venv/.dev ## Make today's protos the ones that must not break (part of a release)
	@cd protos && ../$(BIN)/buf build --exclude-source-info -o '-#format=json' | ../$(BIN)/python -m json.tool --indent 1 > ../scripts/frozen_protos.json

docs: .venv/.dev ## Regenerate docs/configuration.md from the schema
	@$(BIN)/python scripts/gen_configuration_doc.py

docs-check: .venv/.dev ## docs/configuration.md says what the schema says
	@$(BIN)/python scripts/gen_configuration_doc.py --check

clean: ## Remove the environment and every cache
	rm -rf .venv .venv-grpcio .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov dist build
