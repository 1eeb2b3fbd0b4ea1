# Everything a developer types. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help setup run test check fmt bench

UV_VERSION := 0.13.9
UV := .venv-tools/bin/uv
BIN := .venv/bin
SYNCED := .venv/.synced

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

setup: $(SYNCED) ## Make .venv with everything that is locked; quick the second time

run: setup ## The whole system on this machine, with a simulated exchange
	$(BIN)/chaintide up --demo

# Tests that wait for servers wait beside each other; those of one file share theirs.
test: setup ## All tests
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup ## What a pull request must pass, in this order
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

fmt: setup ## Format, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Every benchmark, one after the other
	$(UV) sync --frozen --quiet --group bench
	set -e; for script in bench/*.py; do $(BIN)/python $$script; done

$(SYNCED): pyproject.toml uv.lock | $(UV)
	$(UV) sync --frozen --quiet --python .venv-tools/bin/python
	$(BIN)/python -m chaintide.dashboards.assets  # says so if it cannot, and so does the page
	touch $@

# uv gets an environment of its own: it makes .venv hold exactly what is locked.
$(UV):
	@for python in python3.13 python3.12 python3.11 python3; do \
	  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; \
	  then echo "using $$($$python --version)"; exec $$python -m venv .venv-tools; fi; \
	done; echo "Chaintide needs Python 3.11, 3.12 or 3.13 with its venv module" >&2; exit 1
	.venv-tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
