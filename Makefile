# Two commands matter: `make demo` and `make test`. `make help` lists the rest.
.PHONY: help demo test check lint types contracts quick wheel lock screenshots nights faults floods storm slurms clean conformance deb rpm firsthour matrix fuzz frameworks network detection site

PY := .venv/bin/python

help: ## this list
	@grep -hE '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 14

demo: ## a simulated night through lake, audit and report; prints the verdicts and the report's path
	@tools/bootstrap run
	@.venv/bin/slurm-guard demo --out .demo

test: ## everything, the real Slurm cluster too (installs Debian packages; needs root)
	@tools/test

check: ## lint, types, import contracts and the quick tests that need no root: under a minute
	@tools/bootstrap dev
	@$(MAKE) --no-print-directory lint types contracts quick

lint:
	@$(PY) -m ruff check -q . && $(PY) -m ruff format -q --check .

types:
	@$(PY) -m mypy --no-error-summary

contracts:
	@.venv/bin/lint-imports --no-logo 2>&1 | grep -E 'KEPT|BROKEN|->' ; .venv/bin/lint-imports >/dev/null

quick:
	@$(PY) -m pytest tests -n 2 -m "not rig and not root and not slow"

conformance: ## every real log under ../shared/data against the table of what a person counts in it
	@tools/bootstrap dev
	@$(PY) -m pytest -q tests/contract/test_conformance.py -m shared_data

FUZZ_SECONDS ?= 600
fuzz: ## every reader against hurt files, 10 minutes each (4 hours on 2 cores); goes on where it stopped; writes docs/fuzz.md
	@tools/bootstrap dev
	@$(PY) -m tests.fuzz all --seconds $(FUZZ_SECONDS) --table docs/fuzz.md

frameworks: ## the callbacks inside real trainings: PY=python of an environment with requirements/frameworks.in
	@PYTHONPATH=. $(PY) -m pytest -rs tests/frameworks -m frameworks

wheel: ## dist/*.whl and dist/*.tar.gz
	@tools/bootstrap dev
	@$(PY) -m build --no-isolation -o dist . >/dev/null && ls dist

deb: ## dist/slurm-guard-node_*.deb and dist/slurm-guard_*.deb, for the Debian that it runs on
	@tools/bootstrap dev
	@$(PY) -m tools.packages deb

rpm: ## the same two as RPMs, for the system that it runs on (rpmbuild; PYTHON=/usr/bin/python3.11 where that is not python3)
	@tools/bootstrap dev
	@$(PY) -m tools.packages rpm --python $(or $(PYTHON),/usr/bin/python3)

lock: ## pin every dependency anew (needs `uv` on the PATH)
	uv pip compile pyproject.toml --universal --python-version 3.10 --generate-hashes --no-header -o requirements/run.txt
	uv pip compile requirements/build.in --universal --python-version 3.10 --generate-hashes --no-header -o requirements/build.txt
	uv pip compile requirements/docs.in --universal --python-version 3.10 --generate-hashes --no-header -o requirements/docs.txt
	uv pip compile --group peers --universal --python-version 3.10 --generate-hashes --no-header -o requirements/peers.txt
	uv pip compile --group bench --universal --python-version 3.10 --generate-hashes --no-header -o requirements/bench.txt
	uv pip compile pyproject.toml --group dev --universal --python-version 3.10 --generate-hashes --no-header -o requirements/dev.txt

screenshots: ## the report and the mail in headless Chromium at 1280, 768 and 390 px, light and dark, and what axe-core says
	@tools/bootstrap pictures
	@$(PY) -m tools.screenshots

nights: ## ten nights on the rig with other seeds and shares (about 25 minutes); writes docs/rig-nights.md
	@tools/bootstrap rig
	@$(PY) -m tests.rig nights --n 10

faults: ## a node hurt in more than 40 ways on the rig (about 12 minutes); writes docs/faults.md
	@tools/bootstrap rig
	@$(PY) -m tests.rig.faults --out docs/faults.md

floods: ## what a hostile job can do to a node's sampler, on the rig (about 10 minutes); writes docs/floods.md
	@tools/bootstrap rig
	@rm -f .rig-floods.json
	@$(PY) -m tests.rig.floods --json .rig-floods.json --out docs/floods.md

storm: ## 500 jobs of a moment on the rig: no ticket, seal or window may go astray
	@tools/bootstrap rig
	@$(PY) -m tests.rig --dir .rig-storm storm --jobs 500

NETWORK_SEED ?= 1
network: ## about 100 situations with tunnels and without, ten plays each (30 minutes; goes on where it was left); writes docs/network-bench.md
	@tools/bootstrap network
	@$(PY) -m bench network --look-s 10 --seconds 60 --n 10 --seed $(NETWORK_SEED) --at-once 48 --out .network-plays.jsonl --table docs/network-bench.md

detection: ## how often the audit is right: every family on seven GPU classes (three to four hours; goes on where it was left; fills .detection.md)
	@tools/bootstrap dev
	@$(PY) -m pip install -q --require-hashes -r requirements/bench.txt
	@cp docs/detection.md .detection.md # what is published was frozen first; these figures are of the code as it stands
	@$(PY) -m bench detection --honest 30 --diverting 10 --violated 10 --jobs 2 --state .detection.jsonl --page .detection.md

ROOTS ?= .roots
firsthour: ## from the two packages to the first report, timed, in a folder of Debian with a running Slurm (10 minutes)
	@tools/bootstrap rig
	@tools/slurm-root bookworm $(ROOTS)/bookworm
	@$(PY) -m tools.packages deb
	@$(PY) -m tests.rig.root --fresh $(ROOTS)/bookworm -m tests.install.first_hour --debs dist

matrix: slurms ## the same as `make slurms`

slurms: ## the night on this Debian's Slurm, 24.11 and 26.05 (2 GB of packages, 20 minutes); writes docs/slurm-versions.md
	@tools/bootstrap rig
	@tools/slurm-root trixie $(ROOTS)/trixie
	@tools/slurm-root sid $(ROOTS)/sid
	@$(PY) -m tests.rig slurms --roots $(ROOTS)

site: ## the documents as a site, in site/ (mkdocs-material, in an environment of its own)
	@test -x .venv-docs/bin/mkdocs || { /usr/bin/python3 -m venv .venv-docs && .venv-docs/bin/pip install -q --require-hashes -r requirements/docs.txt; }
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build -q --strict && echo site/index.html

clean: ## what a build left behind
	rm -rf .demo .rig .rig-faults .rig-storm .rig-floods .rig-floods.json .rig-slurms dist build site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
