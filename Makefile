# Two commands set everything up on a fresh machine:  make demo   and   make test
.PHONY: demo test lint bench soak map messages lock sbom holes clean other-python

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
WEB_SOURCES := $(shell find web -path web/node_modules -prune -o -type f -print 2>/dev/null)
STATIC := flycam/serve/static/index.html
CATALOGUE := flycam/messages/vi/LC_MESSAGES/flycam
# where tests drive a browser, in processes of their own: Playwright's loop and asyncio's do not share one
BROWSER := tests/browser tests/attack/test_watched.py
# most of the time is waiting, for streams, lines and servers: two cores are kept busy by more processes than two
WHOLE_FILES := --dist loadfile --no-loadscope-reorder
PORT ?= 8000

demo: $(VENV)/run.stamp $(STATIC) $(CATALOGUE).mo  ## install, run the main job on a drill flight, open the map
	$(BIN)/flycam demo --port $(PORT)

test: $(VENV)/test.stamp $(STATIC) $(CATALOGUE).mo  ## install what tests need and run them
	@failed=0; \
	(cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm test --silent) || failed=$$?; \
	$(BIN)/python -m pytest -n 4 $(WHOLE_FILES) -m "not soak and not browser" || failed=$$?; \
	$(BIN)/python -m pytest -n 3 $(WHOLE_FILES) -m "browser and not soak" $(BROWSER) || failed=$$?; \
	exit $$failed

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pip check
	$(BIN)/python tests/house/one_opencv.py

bench: $(VENV)/test.stamp  ## ratios against the floor and the peers, in one run
	$(BIN)/python -m bench --page docs/evidence.md

soak: $(VENV)/test.stamp  ## laws at random, then the longer trials, whose results are printed
	@failed=0; \
	$(BIN)/python -m pytest -n 4 -m "hypothesis and not soak" --hypothesis-profile explore || failed=$$?; \
	$(BIN)/python -m pytest -m soak --hypothesis-profile explore -s --timeout 7200 || failed=$$?; \
	exit $$failed

sbom: $(VENV)/test.stamp  ## what runs, with versions and hashes, as CycloneDX in dist
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml \
		-o dist/flycam-python.cdx.json requirements/run.lock
	cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm sbom --package-lock-only --omit dev --sbom-format cyclonedx \
		> ../dist/flycam-web.cdx.json

holes: $(VENV)/test.stamp  ## known holes of what runs; asks databases on the internet, so no other target needs it
	@failed=0; \
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements/run.lock || failed=1; \
	(cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm audit --package-lock-only) || failed=1; \
	[ $$failed = 0 ] || echo "holes: some are known, or a database did not answer: see above"; exit $$failed

map: $(STATIC)

messages: $(VENV)/test.stamp  ## bring the catalogue up to what the code says; new messages wait for their translation
	$(BIN)/pybabel -q extract --sort-output --no-location -k _ -k ngettext:1,2 -k pgettext:1c,2 -o $(CATALOGUE).pot flycam
	$(BIN)/pybabel -q update --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date --width 110 -l vi -i $(CATALOGUE).pot -o $(CATALOGUE).po
	rm $(CATALOGUE).pot

$(CATALOGUE).mo: $(CATALOGUE).po hatch_build.py $(VENV)/run.stamp
	$(BIN)/python hatch_build.py

$(STATIC): $(VENV)/run.stamp $(WEB_SOURCES)
	cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --no-audit --no-fund --silent && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent build
	touch $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { tests/install-system.sh python && exec $(MAKE) $@; }
	$(if $(PYTHON),$(PYTHON),python3) -m venv $(VENV)

$(VENV)/run.stamp: requirements/run.lock requirements/build.lock pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/run.lock -r requirements/build.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

$(VENV)/test.stamp: requirements/test.lock tests/install-system.sh $(VENV)/run.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.lock
	tests/install-system.sh tests
	touch $@

other-python:  ## the same tests without browser and servers on the other supported Python
	$(MAKE) VENV=.venv-other PYTHON=$(OTHER) .venv-other/test.stamp
	.venv-other/bin/python -m pytest -m "not browser and not s3 and not postgres and not slow"

LOCKED := uv pip compile -q --universal --no-strip-extras --generate-hashes --no-header --no-annotate --python-version 3.11
lock:  ## refresh the hash-locked requirements: what runs, what builds, what tests
	$(LOCKED) pyproject.toml --all-extras --group dev -o requirements/test.lock
	$(LOCKED) pyproject.toml --all-extras -c requirements/test.lock -o requirements/run.lock
	$(LOCKED) --group build -c requirements/test.lock -o requirements/build.lock

clean:
	rm -rf $(VENV) .venv-other flycam/serve/static web/node_modules .mypy_cache .ruff_cache .pytest_cache
