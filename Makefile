# Every target does its own set-up. `make help` lists them.
# Needs Python 3.11 or newer with venv, nothing else: engines and tools come as wheels.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# A recipe is one script: it stops at the first failure.
.ONESHELL:
MAKEFLAGS += --no-print-directory

DATA ?= data
PORT ?= 8000
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# A stamp bears the hash of what was installed: nothing changed, nothing done.
hash = $(shell cat $(1) 2>/dev/null | sha256sum | cut -c1-16)
STAMP := $(VENV)/.set-up-$(call hash,requirements.lock requirements-bootstrap.txt pyproject.toml)
STAMP_DEV := $(VENV)/.set-up-dev-$(call hash,requirements-dev.lock requirements-bootstrap.txt pyproject.toml)

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

.PHONY: setup
setup: $(STAMP) ## Make the environment from the pinned lock (seconds when nothing changed)

.PHONY: setup-dev
setup-dev: $(STAMP_DEV) ## The same, with what tests and checks need

.PHONY: up
up: setup ## Start everything; PORT=8000 DATA=data
	@exec $(VENV)/bin/dare up --data "$(DATA)" --port "$(PORT)"

.PHONY: demo
demo: setup ## Fill a running house with real talks, people and ratings
	@exec $(VENV)/bin/dare demo --data "$(DATA)"

.PHONY: test
test: setup-dev chromium ## Run all tests, on the real engines
	@$(PY) -m pytest $(ARGS)

.PHONY: check
check: setup-dev ## Format, lint, types, import contracts
	@$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

.PHONY: bench
bench: setup-dev ## Measure against the numbers that are promised
	@missed=0
	for file in $$(grep -l __main__ benchmarks/*.py); do
		name=$$(basename $$file .py); echo "== $$name"; $(PY) -m benchmarks.$$name || missed=1
	done
	exit $$missed

$(PY):
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=…"; exit 1; fi
	echo "Making $(VENV) with $$($(PYTHON) --version) …"
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "This Python cannot make environments: install its venv module (Debian: apt-get install python3-venv)."; exit 1; }

# uv installs a gigabyte in the time that pip needs to look at it; where uv cannot reach the index
# that pip is set up for, pip does the same from the same lock. Both refuse whatever has no hash.
define install
echo "Installing from $(1) …"
$(PY) -m pip --version > /dev/null 2>&1 || $(PY) -m ensurepip > /dev/null
$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.txt \
	|| echo "uv could not be installed; going on with pip alone."
index="$$($(PY) -m pip config get global.index-url 2>/dev/null || true)"; index="$${PIP_INDEX_URL:-$$index}"
cert="$$($(PY) -m pip config get global.cert 2>/dev/null || true)"; cert="$${PIP_CERT:-$$cert}"
if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi
if [ -n "$$cert" ] && [ -z "$${SSL_CERT_FILE:-}" ]; then export SSL_CERT_FILE="$$cert"; fi
log="$(VENV)/uv.log"
$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes --no-deps -r $(1) 2> "$$log" \
	|| { echo "uv could not ($$(grep -m1 . "$$log" | cut -c1-120)); pip does it, which takes longer."; \
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(1); }
$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation -e . 2>> "$$log" \
	|| $(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
echo "Compiling …"
$(PY) -m compileall -q -j 0 -x '/tests?/' service storage workers \
	"$$($(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" > /dev/null || true
endef

$(STAMP): | $(PY)
	@$(call install,requirements.lock)
	rm -f $(VENV)/.set-up-????????????????
	touch $@

$(STAMP_DEV): | $(PY)
	@$(call install,requirements-dev.lock)
	rm -f $(VENV)/.set-up-*
	touch $@ $(STAMP)

# A missing browser never fails a test run: what needs it is skipped, and pytest says so at the end.
.PHONY: chromium
chromium:
	@if command -v chromium chromium-browser google-chrome > /dev/null; then exit 0; fi
	as=""
	if [ "$$(id -u)" != 0 ]; then as="sudo -n"; fi
	if command -v apt-get > /dev/null && $$as true 2> /dev/null; then
		echo "Installing chromium …"
		export DEBIAN_FRONTEND=noninteractive
		{ $$as apt-get update -qq && $$as apt-get install -y -qq --no-install-recommends chromium; } \
			< /dev/null > $(VENV)/apt.log 2>&1 || echo "chromium could not be installed (see $(VENV)/apt.log)."
	else
		echo "chromium is missing and may not be installed here: browser tests will be skipped."
	fi
