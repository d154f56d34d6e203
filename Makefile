# Two commands matter: make run, and make test. Each prepares everything it needs.

.DEFAULT_GOAL := help
.PHONY: help run test servers check lint apply doctor bench torture bundle lock audit token reset

# The first Python on this machine that is new enough; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin
SCRIPTS := $(BIN)/python -m scripts
READY := .venv/.ready
EACH_CORE := --numprocesses auto --dist loadfile

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(READY): requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=/path/to/python"; exit 1; }
	@echo "Preparing .venv with $$($(PYTHON) --version): about a minute, the first time only ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	@touch $(READY)

run: $(READY) ## run everything on this machine: Postgres, PostgREST, the API and its screens; Ctrl-C ends it
	@exec $(SCRIPTS) run

reset: $(READY) ## delete the data of make run
	@$(SCRIPTS) reset

token: $(READY) ## print an access token for curl: make token EMAIL=ada@example.org
	@$(SCRIPTS) token $(EMAIL)

test: $(READY) ## run every test; sets up what they need, the browser included
	@$(SCRIPTS) browser
	@$(BIN)/python -m pytest $(EACH_CORE) $(PYTEST)

servers: $(READY) ## run a selection of the tests on Postgres 15 and 17, in a container and behind PgBouncer
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-servers.txt || true
	@$(SCRIPTS) servers $(ARGS)

check: lint ## lint, then the tests that need no browser
	@$(BIN)/python -m pytest $(EACH_CORE) -m "not browser" $(PYTEST)

lint: $(READY) ## check the formatting, the style and the types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

apply: $(READY) ## install into a database: make apply DATABASE_URL=postgresql://..., ONLINE=1 for large tables in use
	@$(SCRIPTS) apply $(if $(DATABASE_URL),"$(DATABASE_URL)") $(if $(ONLINE),--online)

doctor: $(READY) ## examine a database without changing it: make doctor DATABASE_URL=postgresql://...
	@$(SCRIPTS) doctor $(if $(DATABASE_URL),"$(DATABASE_URL)") $(if $(JSON),--json)

bench: $(READY) ## measure approvals over HTTP and in SQL, lists and calendar up to 5 million sessions; ARGS=--publish
	@$(SCRIPTS) lab bench $(ARGS)

torture: $(READY) ## run everything under faults for 20 minutes and check every answer; then prove the credits at full size
	@$(SCRIPTS) lab torture $(ARGS)

bundle: $(READY) ## write the install as one file for SQL editors: build/session_approval.sql
	@$(SCRIPTS) bundle

lock: $(READY) ## write requirements.lock again: the newest versions within requirements.txt, with their hashes
	@$(BIN)/uv pip compile requirements.txt --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" --output-file requirements.lock

audit: $(READY) ## ask whether a known vulnerability touches requirements.lock
	@$(SCRIPTS) audit $(ARGS)
