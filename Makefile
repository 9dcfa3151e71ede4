# Each target makes the environment it needs from a bare checkout and then does its work.
#
#   make PYTHON=python3.12 test   which Python makes the environment (default: the first of
#                                 python3.11, python3.12 and python3 that is 3.11 or newer and
#                                 has venv and ensurepip)
#   make VENV=../env test         where the environment is (default: .venv)
#   make ARGS='-k affine' test    more arguments for the command

VENV ?= .venv
PYTHON ?=
ARGS ?=

override BIN := $(abspath $(VENV))/bin
# newer than pyproject.toml: what that file asks for is installed
override STAMP := $(VENV)/.installed

export PATH := $(BIN):$(PATH)
# a program that calls make itself must not take this call's settings for its own
RUN := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES $(BIN)/python -m

.DEFAULT_GOAL := help
.PHONY: help sweep test lint docs report

help: ## list the targets
	@awk -F ':[^#]*## ' '/^[a-z]+:.*## / {printf "  make %-8s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

sweep: $(STAMP) ## measure precision x depth of the bundled maze model, without a network
	$(RUN) experiments.sweep --task maze --resume $(ARGS)

test: $(STAMP) ## run every test; format, lint and types are among them
	$(RUN) pytest $(ARGS)

lint: $(STAMP) ## check format, lint and types alone
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) pyright --pythonpath $(BIN)/python

docs: $(STAMP) ## build the documents into build/site
	$(RUN) mkdocs build --strict $(ARGS)

report: $(STAMP) ## measure everything on the bundled models and rebuild docs/report.html (an hour or two)
	$(RUN) experiments.report --all --out runs/report $(ARGS)
	cp runs/report/report.html docs/report.html
	cp runs/report/report-figures/change-0.svg docs/report-change.svg

$(STAMP): pyproject.toml
	@python='$(PYTHON)'; \
	for candidate in python3.11 python3.12 python3; do \
	  if [ -z "$$python" ] && "$$candidate" -c \
	    'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then python=$$candidate; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "needs Python 3.11 or newer with venv and pip (python3.11, python3.12 or python3);" \
	    "name one with PYTHON=..." >&2; \
	  exit 1; \
	fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "making $(VENV) with $$python"; "$$python" -m venv "$(VENV)" || exit 1; \
	fi
	@echo "installing what pyproject.toml asks for into $(VENV) (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@
