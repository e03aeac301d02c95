# Every target brings what it needs: the first run installs, later ones only look at two checksums.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check format bench chaos fuzz lock clean

help:  ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-8s %s\n", $$1, $$2}'

# A stamp is named after the lock's checksum: a changed lock is another stamp, and is installed.
HEAVY := tests/integration/backup tests/integration/recovery tests/chaos/test_wal_kills.py tests/chaos/test_ledger_loss.py
LAB := tests/integration/lab/test_two_regions.py tests/integration/lab/test_cut_links.py tests/e2e/test_region_drill.py \
	tests/e2e/test_region_in_console.py tests/e2e/test_region_outage.py tests/e2e/test_corruption_drill.py \
	tests/chaos/test_region_histories.py tests/chaos/test_region_loss.py
RUN_STAMP := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml 2>/dev/null | sha256sum | cut -c1-16)
DEV_STAMP := $(VENV)/.developing-$(shell cat requirements-dev.lock pyproject.toml 2>/dev/null | sha256sum | cut -c1-16)

$(RUN_STAMP):
	@scripts/bootstrap "$(PYTHON)" "$(VENV)" requirements.lock
	@rm -f $(VENV)/.installed-* && touch $@

$(DEV_STAMP):
	@scripts/bootstrap "$(PYTHON)" "$(VENV)" requirements-dev.lock
	@rm -f $(VENV)/.developing-* && touch $@ $(RUN_STAMP)

demo: $(RUN_STAMP)  ## run the sample print service and Holdfast on it
	@exec $(BIN)/holdfast demo $(DEMO)

test: $(DEV_STAMP)  ## run the tests, after installing what they need where that is possible
	@scripts/test-needs
	@# Most of them wait for real processes: three files at once keep two cores busy, and tests/side_by_side.py says which
	@# run beside which. What is promised by the clock may then take twice as long. TESTS="-n 0 ..." is one by one.
	@# Those that restore databases keep both cores busy: what measures by the clock must not run beside them.
	@# A lab of two regions takes both cores for itself: leases of seconds run out beside another one.
	@HOLDFAST_TEST_PACE=$${HOLDFAST_TEST_PACE:-2} \
		$(BIN)/python -m pytest -n 3 --dist loadfile $(or $(TESTS),$(addprefix --ignore=,$(HEAVY) $(LAB)))
	@$(if $(TESTS),,$(BIN)/python -m pytest -n 2 --dist loadfile $(HEAVY))
	@$(if $(TESTS),,$(BIN)/python -m pytest -n 0 $(LAB))

check: $(DEV_STAMP)  ## format, lint, types, and the rules of the house
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(DEV_STAMP)  ## put the code into its form
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(DEV_STAMP)  ## measure what is promised, and print one table
	@scripts/bench-needs
	@$(BIN)/python -m bench $(BENCH)

chaos: $(DEV_STAMP)  ## the long rounds of killing, ROUNDS of each; the figures stand at the end
	@scripts/test-needs
	@HOLDFAST_CHAOS_ROUNDS=$${ROUNDS:-50} $(BIN)/python -m pytest tests/chaos --timeout=7200 -q

fuzz: $(DEV_STAMP)  ## ten thousand broken conversations of every protocol
	@scripts/test-needs
	@HOLDFAST_FUZZ_EXCHANGES=$${EXCHANGES:-10000} $(BIN)/python -m pytest tests/integration/probes/test_fuzz.py -q -s

lock: $(DEV_STAMP)  ## resolve the dependencies anew and write both locks
	@scripts/lock "$(VENV)"

clean:  ## remove what was installed and what tests left; never the data in .holdfast
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/.artifacts bench/.data
