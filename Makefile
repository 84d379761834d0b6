# Doorward. `make demo` opens a door; `make help` lists the rest.

PYTHON ?= python3
VERSION := $(or $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null),none)
# Debian 12 and 13 have the locked Pythons; the ones between and after take the nearest older lock.
LOCK := $(if $(filter 3.11 3.12,$(VERSION)),3.11,3.13)

VENV := .venv
BIN := $(VENV)/bin
TFLITE := .venv-tflite
# These stamps carry the version, so that another PYTHON means a new environment.
RUN := $(VENV)/run-$(VERSION)
DEV := $(VENV)/dev-$(VERSION)

# A Pi has no compiler, and the system's Python is not ours to change.
export PIP_ONLY_BINARY := :all:
export PIP_REQUIRE_VIRTUALENV := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_USER := 0

.DELETE_ON_ERROR:
.PHONY: help demo test test-tflite-runtime check format schemas docs bench venv lock clean

help: ## list these targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' Makefile | expand -t 24

demo: $(RUN) ## open a simulated door by face
	@$(BIN)/doorward demo

test: $(DEV) ## run the tests, and on Python 3.11 those of the second runtime
	@sh .ci/need mosquitto mosquitto || [ "$$CI" != true ]
	@sh .ci/need strace strace || [ "$$CI" != true ]
	@sh .ci/need mkfs.ext4 e2fsprogs || [ "$$CI" != true ]
	$(BIN)/pytest --cov --cov-report=
	$(BIN)/coverage report --include='agent/core/*' --fail-under=100
	$(if $(filter 3.11,$(VERSION)),@$(MAKE) --no-print-directory test-tflite-runtime)

test-tflite-runtime: $(TFLITE)/run-$(VERSION) ## run the tests marked `runtime` with tflite-runtime
	$(TFLITE)/bin/pytest -m runtime

check: $(DEV) ## check format, lint, types and the direction of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(DEV) ## rewrite the code as `make check` wants it
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

schemas: $(DEV) ## rewrite docs/schema/ as the code has it
	$(BIN)/python -m tests.schemas

docs: $(DEV) ## rewrite what is generated of docs/
	$(BIN)/python -m tests.configuration
	$(BIN)/python -m tests.wiring

bench: $(DEV) ## measure
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.bench

venv: $(DEV) ## make .venv with everything for development

%/python-$(VERSION):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Doorward needs Python 3.11 or newer, and $(PYTHON) is $(VERSION): make PYTHON=python3.11 ...")'
	@sh .ci/need '$(PYTHON) -c "import ensurepip, venv"' python3-venv
	$(PYTHON) -m venv --clear $(@D)
	@touch $@

define install
$(@D)/bin/pip install -qq --no-compile --require-hashes -r $<
$(@D)/bin/pip install -qq --no-build-isolation --no-deps --editable .
@touch $@
endef

$(RUN): requirements/run-$(LOCK).txt setup.cfg | $(VENV)/python-$(VERSION)
	$(install)

$(DEV): requirements/dev-$(LOCK).txt $(RUN) | $(VENV)/python-$(VERSION)
	$(install)

$(TFLITE)/run-$(VERSION): requirements/tflite-runtime-3.11.txt setup.cfg | $(TFLITE)/python-$(VERSION)
	$(install)

# Hashes cover every file of a release, so a lock made for the Pi serves x86-64 too.
UV := .venv-lock/bin/uv pip
COMPILE = $(UV) compile --quiet --upgrade --generate-hashes --no-annotate \
	--python-platform aarch64-manylinux_2_36 --custom-compile-command 'make lock' \
	setup.cfg requirements/build.in --python-version

lock: ## renew the pinned versions in requirements/
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/pip install -qq uv
	$(COMPILE) 3.11 --extra dev -c requirements/constraints.in -o requirements/dev-3.11.txt
	$(COMPILE) 3.13 --extra dev -c requirements/dev-3.11.txt -o requirements/dev-3.13.txt
	$(COMPILE) 3.11 -c requirements/dev-3.11.txt -o requirements/run-3.11.txt
	$(COMPILE) 3.13 -c requirements/dev-3.13.txt -o requirements/run-3.13.txt
	$(COMPILE) 3.11 --extra tflite-runtime requirements/tflite-runtime.in \
		--excludes requirements/tflite-runtime.exclude -o requirements/tflite-runtime-3.11.txt
# Nobody has a compiler: stop at a package without a wheel for the Pi or for x86-64.
	for lock in run-3.11 run-3.13 dev-3.11 dev-3.13 tflite-runtime-3.11; do \
		for machine in aarch64 x86_64; do \
			$(UV) install --quiet --dry-run --require-hashes --only-binary :all: \
				--target .venv-lock/none --python-version $${lock##*-} \
				--python-platform $$machine-manylinux_2_36 -r requirements/$$lock.txt || exit; \
		done; \
	done
	rm -rf .venv-lock

clean: ## remove what these targets made
	rm -rf .venv .venv-tflite .venv-lock .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache *.egg-info build
	find agent models tests -name __pycache__ -prune -exec rm -rf {} +
