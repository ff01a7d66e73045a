# Everything one does with this project. `make help` lists the targets.
# One profile, --release: what is tested is what is installed, and nothing is built twice.

SHELL := /bin/sh
CARGO ?= $(shell command -v cargo 2>/dev/null || echo "$${CARGO_HOME:-$$HOME/.cargo}/bin/cargo")
BIN := $(or $(CARGO_TARGET_DIR),target)/release

.DEFAULT_GOAL := help
.PHONY: help demo build test bench bench-audit bench-decisions bench-scan bench-view chaos fuzz lint clean down bootstrap bootstrap-tests

help: ## Lists the targets
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | \
	    while IFS="$$(printf '\t')" read -r target text; do printf '  make %-10s %s\n' "$$target" "$$text"; done
	@echo
	@echo '  make demo takes REPO=/path (a real repository; default: this one), DEMO_DIR=/path'
	@echo '  (default: .demo) and DEMO_EXIT=1 (stop everything at the end).'

demo: build ## Installs what is missing, builds, and runs the main job on a real repository
	@$(BIN)/refwarden demo

down: ## Stops what make demo left running
	@$(BIN)/refwarden down --data-dir "$${DEMO_DIR:-.demo}"

# Tests ask for more features of what they share with the programs, and cargo unifies features by
# what one command builds. Where tests were built, programs are built with them ever after, so
# that nothing is built in turns.
build: bootstrap ## Builds all programs
	@$(CARGO) build --release --workspace --locked $(if $(wildcard $(BIN)/.with-tests),--all-targets,--bins)

test: bootstrap-tests ## Installs what is missing, builds, and runs all tests
	@$(CARGO) build --release --workspace --all-targets --locked
	@touch $(BIN)/.with-tests
	@$(CARGO) test --release --workspace --locked

bench: bootstrap-tests build ## Measures, side by side in one run, what docs/BENCHMARKS.md says
	@$(CARGO) run --release --locked -p refwarden-tests --bin bench

bench-decisions: bootstrap-tests build ## Verdicts a second beside pgbench on the same Postgres; POOL= connections
	@$(CARGO) run --release --locked -p refwarden-tests --bin bench -- decisions

bench-scan: build ## Compares scanners, which it installs; SCAN_BENCH_TREE, _REPO, _ROUNDS choose
	@$(CARGO) run --release --locked -p refwarden-tests --bin bench -- scan

bench-view: build ## Builds masked views beside git-filter-repo; VIEW_BENCH_REPO, _LARGE, _ROUNDS choose
	@$(CARGO) run --release --locked -p refwarden-tests --bin bench -- view

bench-audit: bootstrap-tests build ## Questions, export and growth of the ledger; AUDIT_BENCH_EVENTS=10000,1000000
	@$(CARGO) run --release --locked -p refwarden-tests --bin bench -- audit

chaos: bootstrap-tests build ## Kills and fails at random moments of pushes; SEED=, MINUTES= or TRIALS=
	@$(CARGO) run --release --locked -p refwarden-tests --bin chaos -- \
	    $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) \
	    $(if $(TRIALS),--trials $(TRIALS)) $(if $(TRIAL),--trial $(TRIAL)) \
	    $(if $(ONLY),--only $(ONLY)) $(if $(JOBS),--jobs $(JOBS)) $(if $(JSON),--json)

fuzz: bootstrap-tests ## Feeds every parser of outside bytes; SECONDS= for each (60), ONLY= one, SEED=
	@FUZZ_SECONDS=$(or $(SECONDS),60) FUZZ_SEED=$(SEED) $(CARGO) test --release --workspace --locked \
	    --test fuzz -- --nocapture $(ONLY)

lint: bootstrap ## Checks layout, lints and, where cargo-deny is there, licences and advisories
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --release --workspace --all-targets --locked -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then install/deny.sh; \
	    else echo 'lint: cargo-deny is not installed; licences and advisories were not checked'; fi

bootstrap:
	@install/bootstrap.sh

bootstrap-tests:
	@install/bootstrap.sh --for-tests

clean: ## Stops the demo and removes what was built
	@if [ -x $(BIN)/refwarden ] && [ -d "$${DEMO_DIR:-.demo}" ]; then \
	    $(BIN)/refwarden down --data-dir "$${DEMO_DIR:-.demo}"; fi
	@$(CARGO) clean
