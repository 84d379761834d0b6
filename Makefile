# Doorward. `make demo` opens a door; `make help` lists the rest.

PYTHON ?= python3
VERSION := $(or $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null),none)
# Debian 12 and 13 have the locked Pythons; the ones between and after take the nearest older lock.
LOCK := $(if $(filter 3.11 3.12,$(VERSION)),3.11,3.13)

VENV := .venv
BIN := $(VENV)/bin
TFLITE := .venv-tflite
PEERS := build/peers
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
.PHONY: help demo test test-tflite-runtime test-guest test-install check format schemas docs bench venv lock \
	bench-peers clean install uninstall payload bundle deb

help: ## list these targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' Makefile | expand -t 24

install: ## install on this machine, with sudo; docs/install.md
	@sh .ci/need '/usr/bin/python3 -c "import ensurepip, venv"' python3-venv
	@for part in picamera2=python3-picamera2 RPi=python3-rpi-lgpio evdev=python3-evdev; do \
		sh .ci/need "/usr/bin/python3 -c 'import sys, importlib.util as u; sys.exit(not u.find_spec(\"$${part%=*}\"))'" $${part#*=} || :; \
	done
	@$(AS_OWNER) $(MAKE) --no-print-directory payload
	@build/payload/install

uninstall: ## uninstall, with sudo; PURGE=1 erases all residents first, with certificates
	@systemd/install $(if $(PURGE),purge,uninstall)

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

SUITE := bookworm
INSTALL_ARCH := $(if $(filter aarch64,$(shell uname -m)),arm64,amd64)

test-guest: ## try the installed door in an emulated PC with simulated lines: root, an hour
	DOORWARD_GUEST=$${DOORWARD_GUEST:?name a folder with 6 GB to spare} tests/hardware/guest

test-install: ## prove an installation in a clean Debian: SUITE=trixie INSTALL_ARCH=arm64
	@tests/install/run $(SUITE) $(INSTALL_ARCH)

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

bench-peers: $(DEV) ## measure beside other programs: IMAGES=DIR PAIRS=FILE SAMPLE=300
	@test -d "$(IMAGES)" -a -f "$(PAIRS)" || { echo "bench-peers: name photographs, make bench-peers IMAGES=DIR PAIRS=FILE: docs/accuracy.md says which will do" >&2; exit 2; }
	@$(MAKE) --no-print-directory $(PEERS)/peers-$(VERSION)
	@$(BIN)/python -m tests.accuracy.peers --images "$(IMAGES)" --pairs "$(PAIRS)" \
		--python $(PEERS)/bin/python $(if $(SAMPLE),--sample $(SAMPLE))

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

$(VENV)/build-$(VERSION): requirements/build.txt | $(VENV)/python-$(VERSION)
	$(BIN)/pip install -qq --no-compile --require-hashes -r $<
	@touch $@

# face_recognition_models is a source package of data: with the locked setuptools it needs no more.
$(PEERS)/peers-$(VERSION): requirements/peers-$(LOCK).txt | $(PEERS)/python-$(VERSION)
	@$(@D)/bin/pip install -qq --no-compile --require-hashes -r requirements/build.txt
	@nice $(@D)/bin/pip install -qq --no-compile --require-hashes --no-deps --no-build-isolation \
		--no-binary face-recognition-models -r $<
	@touch $@

# Under sudo what a checkout is given stays its owner's.
OWNER := $(shell stat -c %U .)
AS_OWNER := $(if $(filter-out root UNKNOWN $(shell id -un),$(OWNER)),runuser -u $(OWNER) --)

# What systemd/install installs. Neither time nor an earlier build shows in it: the same code is the
# same release.
payload: $(VENV)/build-$(VERSION)
	@rm -rf build/payload build/lib build/bdist.*
	@mkdir -p build/payload/models build/payload/requirements build/payload/system
	@SOURCE_DATE_EPOCH=1500000000 $(BIN)/pip wheel -qq --no-index --no-build-isolation --no-deps \
		--wheel-dir build/payload .
	@cp models/*.tflite models/*.toml models/MODEL_CARD.md build/payload/models
	@cp requirements/run-3.11.txt requirements/run-3.13.txt requirements/pi.txt build/payload/requirements
	@cp systemd/doorward.* build/payload/system
	@cp systemd/install LICENSE build/payload

# Of the machine that the package is for: aarch64 (a Pi) or x86_64, Python 3.11 (Bookworm) or 3.13.
ARCH := aarch64
PY := 3.13
RELEASE := $(shell sed -n 's/^version = //p' setup.cfg)
BUNDLE := doorward-$(RELEASE)-$(ARCH)-py$(PY)
GLIBCS := 17 24 26 27 28 31 34 35 36 $(if $(filter 3.13,$(PY)),38 39 40 41)

bundle: payload ## pack all that an installation needs, for one without a network; ARCH=x86_64 PY=3.11
	@rm -rf build/$(BUNDLE)
	@cp -R build/payload build/$(BUNDLE)
	@$(BIN)/pip download -qq --no-deps --require-hashes --dest build/$(BUNDLE)/wheels \
		-r requirements/run-$(PY).txt -r requirements/pi.txt \
		--python-version $(PY) --implementation cp --abi cp$(subst .,,$(PY)) --abi abi3 --abi none \
		--platform manylinux2014_$(ARCH) $(GLIBCS:%=--platform manylinux_2_%_$(ARCH))
	@tar -C build --owner=0 --group=0 --sort=name -czf build/$(BUNDLE).tar.gz $(BUNDLE)
	@du -m build/$(BUNDLE).tar.gz

DEB_ARCH := $(if $(filter aarch64,$(ARCH)),arm64,amd64)
DEB := build/doorward_$(RELEASE)+py$(PY)_$(DEB_ARCH)

deb: bundle ## the same as a package of Debian
	@rm -rf $(DEB)
	@mkdir -p $(DEB)/DEBIAN $(DEB)/usr/lib
	@cp -R build/$(BUNDLE) $(DEB)/usr/lib/doorward
	@sed -e 's/@version@/$(RELEASE)+py$(PY)/; s/@arch@/$(DEB_ARCH)/; s/@python@/$(PY)/' \
		-e 's/@next@/3.$(if $(filter 3.11,$(PY)),12,14)/' systemd/deb/control >$(DEB)/DEBIAN/control
	@cp systemd/deb/postinst systemd/deb/prerm systemd/deb/postrm $(DEB)/DEBIAN
	@dpkg-deb --root-owner-group -Zgzip --build $(DEB) >/dev/null
	@rm -rf $(DEB)
	@du -m $(DEB).deb

# Hashes cover every file of a release, so a lock made for the Pi serves x86-64 too.
# What is optional at a door is tried here all the same.
DEV_EXTRAS := --extra dev --extra plots --extra large-gallery
UV := .venv-lock/bin/uv pip
COMPILE = $(UV) compile --quiet --upgrade --generate-hashes --no-annotate \
	--python-platform aarch64-manylinux_2_36 --custom-compile-command 'make lock' \
	setup.cfg requirements/build.in --python-version

lock: ## renew the pinned versions in requirements/
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/pip install -qq uv
	$(COMPILE) 3.11 $(DEV_EXTRAS) -c requirements/constraints.in -o requirements/dev-3.11.txt
	$(COMPILE) 3.13 $(DEV_EXTRAS) -c requirements/dev-3.11.txt -o requirements/dev-3.13.txt
	$(COMPILE) 3.11 -c requirements/dev-3.11.txt -o requirements/run-3.11.txt
	$(COMPILE) 3.13 -c requirements/dev-3.13.txt -o requirements/run-3.13.txt
	$(COMPILE) 3.11 --extra tflite-runtime requirements/tflite-runtime.in \
		--excludes requirements/tflite-runtime.exclude -o requirements/tflite-runtime-3.11.txt
	for python in 3.11 3.13; do \
		$(COMPILE) $$python requirements/peers.in --excludes requirements/peers.exclude \
			-c requirements/constraints.in -o requirements/peers-$$python.txt || exit; \
	done
	$(UV) compile --quiet --upgrade --generate-hashes --no-annotate --custom-compile-command 'make lock' \
		requirements/build.in --python-version 3.11 -c requirements/run-3.11.txt -o requirements/build.txt
	$(UV) compile --quiet --upgrade --generate-hashes --no-annotate --custom-compile-command 'make lock' \
		requirements/pi.in --no-deps --python-version 3.11 -o requirements/pi.txt
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
