# Needs git, make, python3 with venv, and a package index. Everything lands in .venv; nothing else is touched.
#   make demo        two servers on this machine, with calendars, a bridge, a mail sink (DEMO=--exchange: mailboxes)
#   make test        all tests            make check   format, types, floors, house, fast tests: under two minutes
.DEFAULT_GOAL := help
.PHONY: help demo demo-check test check sim soak bench docs fmt lock clean
SHELL := bash
# Tests start hundreds of processes: each module is compiled once, not by each of them.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
SEEDS ?= 200
MINUTES ?= 10
TESTS ?= tests
# Tests wait for processes and disks a third of their time: one worker more than there are cores.
WORKERS ?= $(shell $(BIN)/python -c 'import os; print((os.cpu_count() or 1) + 1)')
FAST := $(wildcard $(addprefix tests/,house core ha codec ports store engine calendars bridges registers mail \
        replication host api web cli agent ops app testing))

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

.venv/.holds-%: %.lock requirements-uv.lock pyproject.toml tools/setup-venv
	@tools/setup-venv $< && touch $@

demo: .venv/.holds-requirements ## start the demonstration: two meeting servers on this machine
	@$(BIN)/meetkeeper demo $(DEMO)

demo-check: .venv/.holds-requirements ## run the demonstration against itself; the last line is JSON
	@$(BIN)/meetkeeper demo --check --json $(DEMO)

test: .venv/.holds-requirements-dev ## every test; real neighbours that are missing are named
	@$(BIN)/python -m pytest -n auto --dist loadgroup $(TESTS)

check: .venv/.holds-requirements-dev ## format, lint, types, floors, fast tests
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m "not real and not slow" $(FAST)

sim: .venv/.holds-requirements-dev ## SEEDS=200 simulated worlds with bad weather, and five times as many pairs
	@$(BIN)/python -m meetkeeper.testing.world --seeds $(SEEDS)
	@$(BIN)/python -m meetkeeper.testing.pairworld --seeds $$((5 * $(SEEDS)))

soak: .venv/.holds-requirements-dev ## MINUTES=10 of pairs never lived before, until something is found
	@$(BIN)/python -m meetkeeper.testing.pairworld --minutes $(MINUTES)

bench: .venv/.holds-requirements-bench ## measure; BENCH_JSON=FILE keeps the figures
	@$(BIN)/python -m bench $(if $(BENCH_JSON),--json $(BENCH_JSON))

docs: .venv/.holds-requirements-dev ## write the generated parts of the documentation again
	@$(BIN)/python tools/docs.py

fmt: .venv/.holds-requirements-dev ## format the code and mend what can be mended
	@$(BIN)/ruff check --quiet --fix-only . ; $(BIN)/ruff format .

lock: .venv/.holds-requirements-dev ## pin again after pyproject.toml changed; UPGRADE=--upgrade takes newer versions
	@tools/lock $(UPGRADE)

clean: ## remove the environment and every cache
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
