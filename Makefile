#     make run            a live demo room in the browser
#     make run-cluster    the demo on Kafka: broker, engines, gateways, console
#     make test           everything that CI tests; for some of it: make test TESTS=tests/engine
#     make check          style, types, import rules and prose
#     make docs           the generated pages of docs/
#     make kafka          a real Kafka broker on this machine; three of them: make kafka BROKERS=3
#     make kafka-stop     its end; of three: make kafka-stop BROKERS=3
#     make lock           deploy/locks/ again, with the newest versions within pyproject.toml's bounds
#     make newest         a report: do the quick tests pass with the newest versions?

PYTHON ?= python3
TESTS  ?= tests
VENV   ?= .venv
BROKERS ?= 1
BIN    := $(VENV)/bin
# One stamp for each group of packages, so that `make run` does not fetch what only tests need.
RUN    := $(VENV)/.run
TEST   := $(VENV)/.test
# Exact versions with the hashes of their files, for every platform and Python from 3.11 on.
LOCKS  := deploy/locks
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header

.PHONY: run run-cluster test check docs clean kafka kafka-stop lock newest

run: $(RUN)
	@echo "liveroom: starting a demo room; stop it with Ctrl-C. Its data is kept in ./data."
	@$(BIN)/liveroom serve --mode dev --demo --workers $$($(BIN)/python -c 'import os; cores = os.cpu_count() or 1; print(min(cores - 1, 8) if cores >= 4 else 0)')

run-cluster: $(RUN)
	@$(BIN)/python deploy/run_cluster.py $(FLAGS)

test: $(TEST)
	@echo "liveroom: running the tests of $(TESTS) (no network beyond this machine; all take about twelve minutes on two cores)."
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(TESTS)

check: $(TEST)
	@echo "liveroom: style, types, import rules and prose."
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m docs.prose

kafka:
	@$(PYTHON) deploy/kafka-local/broker.py start --brokers $(BROKERS)

kafka-stop:
	@$(PYTHON) deploy/kafka-local/broker.py stop --brokers $(BROKERS)

docs: $(TEST)
	@$(BIN)/python -m docs.generate

clean:
	rm -rf $(VENV) .venv-newest build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "liveroom: $(PYTHON) is missing or older than 3.11; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "liveroom: making $(VENV) with $$($(PYTHON) --version)."
	@test -w . || { echo "liveroom: this folder cannot be written to; $(VENV) is made in it"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "liveroom: no virtual environment could be made, see above; on Debian its module is had by: apt-get install python3-venv"; exit 1; }

$(RUN): pyproject.toml $(LOCKS)/build.txt $(LOCKS)/run.txt | $(BIN)/python
	@echo "liveroom: installing its packages from PyPI into $(VENV)."
	@$(PIP) --require-hashes -r $(LOCKS)/build.txt -r $(LOCKS)/run.txt && $(PIP) --no-deps --no-build-isolation --editable . || \
	  { echo "liveroom: the packages could not be installed; see pip's words above."; exit 1; }
	@touch $@

$(TEST): pyproject.toml $(LOCKS)/build.txt $(LOCKS)/run.txt $(LOCKS)/test.txt | $(BIN)/python
	@echo "liveroom: installing its packages and those for tests from PyPI into $(VENV)."
	@$(PIP) --require-hashes -r $(LOCKS)/build.txt -r $(LOCKS)/test.txt && $(PIP) --no-deps --no-build-isolation --editable . || \
	  { echo "liveroom: the packages could not be installed; see pip's words above."; exit 1; }
	@touch $@ $(RUN)

lock: $(TEST)
	@$(COMPILE) --group build --output-file $(LOCKS)/build.txt
	@$(COMPILE) pyproject.toml --output-file $(LOCKS)/run.txt
	@$(COMPILE) pyproject.toml --extra test --extra check --extra load --constraint $(LOCKS)/run.txt --output-file $(LOCKS)/test.txt
	@git diff --stat -- $(LOCKS)

newest:
	@PYTHON=$(PYTHON) .ci/newest
