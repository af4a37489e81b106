# Every verb works from a bare clone on a machine with Python 3.11 or newer: it makes .venv when it is needed.
#   make demo ARGS="--lang en"        passes arguments on
#   make test PYTHON=python3.13       chooses the interpreter of a new .venv (`make clean` first to change it)

ARGS ?=
PYTHON ?=
SEEDS ?= 1000
FIRST ?= 0
PROFILE ?= hostile
STORMS ?= 20
DATA ?= $(if $(GREENTRIP_SHARED_DATA),$(GREENTRIP_SHARED_DATA),../shared/data)
BIN := .venv/bin
BOOTSTRAP := PYTHON="$(PYTHON)" scripts/bootstrap.sh

# A stamp tells what .venv holds. It is older than a manifest when that changed, and the install is run again.
MANIFESTS := constraints.txt sdk/pyproject.toml sync_server/pyproject.toml scripts/bootstrap.sh
RUNTIME := .venv/.installed-runtime
DEV := .venv/.installed-dev
APP := .venv/.installed-app

.DEFAULT_GOAL := help
.PHONY: help demo server app test simulate soak lint format docs constraints privacy accuracy faults bench clean

help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## Record a commute offline, kill the phone, sync, and see the credits
	@$(BIN)/greentrip-server demo $(ARGS)

server: $(RUNTIME) ## Run a development server until Ctrl-C
	@$(BIN)/greentrip-server run $(ARGS)

app: $(APP) ## Open the demonstration app in a window (Kivy: Python 3.11 to 3.13)
	@$(BIN)/python mobile_demo/main.py $(ARGS)

test: $(DEV) ## Run all tests, on SQLite and on PostgreSQL
	@scripts/bootstrap.sh postgres
	@$(BIN)/pytest -n auto $(ARGS)

lint: $(DEV) ## Check style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(DEV) ## Put the code into the project's format, and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(RUNTIME) ## Write the generated pages of docs/ again
	@$(BIN)/python -m greentrip_server.docs

constraints: ## Choose the newest versions of everything and write constraints.txt (needs Python 3.11)
	@$(BOOTSTRAP) constraints

simulate: $(DEV) ## Live through thousands of bad worlds with the real server; SEEDS=10000 FIRST=0 PROFILE=hostile
	@PYTHONPATH=tests $(BIN)/python -m greentrip.testing.simulator --backend simulation.real_server:RealServer \
		--seeds $(SEEDS) --first $(FIRST) --profile $(PROFILE) \
		--replay "make simulate PROFILE=$(PROFILE) FIRST={seed} SEEDS=1 ARGS=--trace" $(ARGS)

soak: $(DEV) ## Record 10,000 trips on one phone with faults, and see that file and memory stay bounded
	@PYTHONPATH=tests $(BIN)/python -m simulation.soak $(ARGS)

privacy: $(RUNTIME) ## Measure what records give away (docs/explanation); DATA=folder of the shared data
	@$(BIN)/python tests/privacy/station_pairs.py $(DATA)/beijing_rail docs/explanation/privacy-station-pairs.md

accuracy: $(DEV) ## Measure distances, routes and mode evidence on the shared data (docs/explanation); DATA=folder
	@PYTHONPATH=tests $(BIN)/python tests/accuracy/report.py $(DATA) docs/explanation/accuracy.md $(ARGS)

faults: $(DEV) ## Kill phones, server and database, and see that everything adds up; STORMS=20
	@$(BOOTSTRAP) postgres
	@GREENTRIP_FAULT_SEEDS=$(STORMS) $(BIN)/pytest -n auto tests/faults $(ARGS)

bench: $(DEV) ## Measure the core as ratios to named baselines
	@GREENTRIP_SHARED_DATA=$(DATA) PYTHONPATH=tests $(BIN)/python tests/benchmarks/bench.py $(ARGS)

clean: ## Remove .venv, caches and builds
	@rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage .coverage.* htmlcov
	@rm -rf sdk/dist sync_server/dist mobile_demo/dist
	@find sdk sync_server mobile_demo tests -name __pycache__ -prune -exec rm -rf {} +

$(RUNTIME): $(MANIFESTS)
	@$(BOOTSTRAP) runtime
	@touch $@

$(DEV): $(RUNTIME) pyproject.toml
	@$(BOOTSTRAP) dev
	@touch $@

$(APP): $(RUNTIME) mobile_demo/pyproject.toml
	@$(BOOTSTRAP) app
	@touch $@
