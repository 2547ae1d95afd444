# Everything there is to run. `make` alone says what there is.

PORT ?= 8000
TENANT_PORT ?= 8400
# Test processes at once; journeys need the cores for browsers.
JOBS ?= 2
export PORT TENANT_PORT

# The first Python that is new enough; without one, bootstrap.py says so.
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && exit; done; echo python3)
VENV := .venv/bin
RUN := $(VENV)/python -m clinicportal.embedded

.DEFAULT_GOAL := help
.PHONY: help run setup setup-dev test soak bench reset lint format lock

help: ## say what there is
	@echo "clinicportal: lets partner clinicians into the records of shared patients."; echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'
	@echo; echo "PORT ($(PORT)) and TENANT_PORT ($(TENANT_PORT) and the two after it) can be set: make run PORT=9000"

run: setup ## set up what is missing, start everything, say where to go; Ctrl-C stops all of it
	@exec $(RUN) up --follow-parent

setup: ## install what a run needs
	@$(PYTHON) tools/bootstrap.py local

setup-dev: ## install what the checks need
	@$(PYTHON) tools/bootstrap.py dev

test: setup-dev ## run every check, in under 10 minutes
	@JOBS=$(JOBS) $(VENV)/python tools/checks.py

soak: setup-dev ## run the long tests
	@$(VENV)/python -m pytest tests -m soak -s --timeout 3600

bench: setup-dev ## measure against the bare thing
	@$(VENV)/python -m bench

reset: ## forget the local data
	@if [ -x $(VENV)/python ]; then exec $(RUN) reset; else rm -rf .data; fi

lint: setup-dev ## check style and types only
	@$(VENV)/python tools/checks.py --static

format: setup-dev ## put the code in shape
	@$(VENV)/ruff check --fix --quiet . ; $(VENV)/ruff format --quiet .

lock: setup-dev ## pin the packages again, newest that fit
	@for name in requirements-uv requirements requirements-local requirements-dev tools/frontend/requirements-node; do \
		$(VENV)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url \
			--no-header $$name.in --output-file $$name.txt && echo "$$name.txt" || exit 1; done
