# `make site` and `make test` are all a fresh machine needs: git, python3 and make. `make help` lists the rest.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
PLAYBOOK := $(BIN)/ansible-playbook
COLLECTION := collections/ansible_collections/prsnl/ports
INVENTORY ?= inventories/lab

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Molecule's own place is shared by all clones of the same name, and outlives them.
export MOLECULE_EPHEMERAL_DIRECTORY := $(CURDIR)/.lab/molecule

.PHONY: help site test lint sanity unit molecule lab-up lab-down verify bench build clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

site: .venv/.site lab-up ## build the lab, provision it with site.yml, print the verified table
	$(PLAYBOOK) site.yml

test: .venv/.test ## every test; lint and unit run beside Molecule and print at the end
	@mkdir -p .lab
	@$(MAKE) --no-print-directory lint unit > .lab/checks.log 2>&1 & checks=$$!; \
	$(MAKE) --no-print-directory molecule; hosts=$$?; \
	wait $$checks; checks=$$?; cat .lab/checks.log; exit $$((hosts || checks))

lint: .venv/.test ## ruff, mypy, yamllint, ansible-lint, schema of the registry
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	scripts/mypy.sh
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint
	scripts/sanity.sh

unit: .venv/.test ## unit tests of the collection and the lab
	$(BIN)/python -m pytest -q $(COLLECTION)/tests/unit molecule/lab/standins/tests

# The first command removes what a run that was cut off left behind.
molecule: .venv/.test ## lab, check mode, converge, idempotence, verify, drills, destroy
	$(BIN)/molecule destroy
	$(BIN)/molecule test --all

lab-up: .venv/.site ## start the lab (builds its image and package mirror the first time)
	$(PLAYBOOK) molecule/lab/up.yml

lab-down: .venv/.site ## remove the lab's hosts, keep the caches
	$(PLAYBOOK) molecule/lab/down.yml

verify: .venv/.site ## compare the running hosts with the registry (INVENTORY=...)
	$(PLAYBOOK) -i $(INVENTORY) playbooks/verify.yml

bench: .venv/.test ## both sides of every benchmark and their ratio
	for bench in benchmarks/*.py; do $(BIN)/python "$$bench" || exit; done

build: .venv/.site ## the collection as an archive under build/
	$(BIN)/ansible-galaxy collection build --force --output-path build $(COLLECTION)

clean: ## remove what make made, except the caches outside this folder
	-[ ! -d .lab ] || $(MAKE) lab-down
	rm -rf .venv .lab build .mypy_cache .ruff_cache .pytest_cache .hypothesis .ansible

.venv/.site: requirements.txt requirements-lock.txt
	PYTHON=$(PYTHON) scripts/venv.sh requirements.txt
	touch $@

.venv/.test: requirements-dev.txt requirements.txt requirements-lock.txt
	PYTHON=$(PYTHON) scripts/venv.sh requirements-dev.txt
	touch $@ .venv/.site
