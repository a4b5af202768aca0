# `make` alone prints what there is. Everything is installed into .venv; nothing outside this folder changes,
# but for the Debian packages that tests/install-tools adds.

BIN := .venv/bin
# tests run side by side, one process for each core
PARALLEL := --numprocesses auto --dist worksteal
PIP := $(BIN)/pip --quiet --disable-pip-version-check --no-input

test test-long: export TMPDIR := $(shell sh tests/scratch)

.PHONY: help up test test-long lint demo bench clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo "make up         start the site of ./site.toml: inbox, builder, web server"
	@echo "make demo       show the whole circle on a temporary folder, in about a minute; downloads uv, a program, for it"
	@echo "make test       lint, then test, with the long suites as a sample"
	@echo "make test-long  the long suites whole: every kill point, power cuts, large files"
	@echo "make lint       formatting, lint, types, and which module may import which"
	@echo "make bench      measure, print a table, write bench.json"
	@echo "make clean      remove .venv and all caches; var/ stays"

up: .venv/.run
	@$(BIN)/otamirror up

demo: .venv/.run
	@$(BIN)/python -m tests.journey.demo

test: .venv/.dev
	sh tests/install-tools
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest $(PARALLEL) -m "not long" --cov --cov-report=term

test-long: .venv/.dev
	sh tests/install-tools
	$(BIN)/python -m pytest $(PARALLEL) -m long

lint: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: .venv/.bench
	$(BIN)/python -m tests.bench

clean:
	rm -rf .venv build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp for each set of extras: what is installed is asked of nobody a second time, so it works offline.
# Every set contains that of .run.
.venv/.run: EXTRAS := builder,device
.venv/.dev: EXTRAS := dev
.venv/.bench: EXTRAS := bench

.venv/.run .venv/.dev .venv/.bench: pyproject.toml | $(BIN)/pip
	@echo "Installing otamirror[$(EXTRAS)] into .venv ..."
	@$(PIP) install --editable '.[$(EXTRAS)]'
	@touch .venv/.run $@

$(BIN)/pip:
	@python3 -m venv .venv
