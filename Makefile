# make demo    transactions of every fate on private nodes, requests of every kind at a desk, payments and their receipts
# make crash   the program killed before and after all that it asks and writes, and run again; 2 to 16 workers at once
# make soak    MINUTES=5: workers, bumps and kills on a chain that forgets, killed at random; SEED=n as before, CHAIN=bitcoin
# make test    linters, types, import rules, tests against real nodes, coverage
# make bench   the program beside web3.py, cast, bitcoind's wallet and the nodes' limits; PART=bitcoin for one part alone
#
# The parts of make bench are lookups, deciding, paying, bitcoin and reconcile; each writes its part of docs/benchmarks.md.
# Each target sets up all that it needs: a virtual environment in .venv, and anvil, bitcoind and ssh-keygen in .tools unless they
# are on PATH.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/.tools/bin:$(PATH)
PYTHON_IN_VENV := .venv/bin/python
PROCESSES ?= 2
MINUTES ?= 5

.PHONY: help
help:
	sed -n 's/^# \(make .*\)/\1/p' Makefile

.PHONY: demo
demo: .venv/.installed nodes
	$(PYTHON_IN_VENV) -m cryptosupport demo

.PHONY: test
test: .venv/.installed-test nodes
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	rm -f .coverage .coverage.*
	.venv/bin/coverage run -m pytest -n $(PROCESSES) --dist loadfile $(PYTEST)
	.venv/bin/coverage combine --quiet
	.venv/bin/coverage report --include='cryptosupport/domain/*,cryptosupport/desk/*' --fail-under=95

.PHONY: crash
crash: .venv/.installed-test nodes
	CRASH_POINTS=all .venv/bin/pytest -n $(PROCESSES) -o faulthandler_timeout=1800 -q -k "killed_at_any or killed_anywhere or dies_anywhere or workers_on_one" tests

.PHONY: soak
soak: .venv/.installed-test nodes
	$(PYTHON_IN_VENV) -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(CHAIN),--chain $(CHAIN))

.PHONY: bench
bench: .venv/.installed-test nodes
	tools/install-cast.sh || echo "bench: it goes on without cast" >&2
	$(PYTHON_IN_VENV) -m bench $(PART)

.PHONY: nodes
nodes:
	tools/install-anvil.sh
	tools/install-bitcoind.sh
	tools/install-spin.sh
	tools/install-ssh-keygen.sh

.venv/.installed: setup.cfg pyproject.toml tools/make-venv.sh
	tools/make-venv.sh
	touch $@

.venv/.installed-test: setup.cfg pyproject.toml tools/make-venv.sh
	tools/make-venv.sh test
	touch $@ .venv/.installed
