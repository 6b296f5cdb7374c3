# `make site` and `make test` are all a fresh machine needs: git, python3 and make. `make help` lists the rest.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help

# 3.11 or later. ansible-core is the newest from 3.12 on, and the oldest that this project works with on 3.11.
PYTHON ?= python3
BIN := .venv/bin
PLAYBOOK := $(BIN)/ansible-playbook
COLLECTION := collections/ansible_collections/prsnl/ports
INVENTORY ?= inventories/lab

export PYTHON
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Molecule's own place is shared by all clones of the same name, and outlives them.
export MOLECULE_EPHEMERAL_DIRECTORY := $(CURDIR)/.lab/molecule

.PHONY: help venv venv-dev site test chaos moves native lint sanity unit browser molecule molecule-emulated molecule-native lab-packages lab-up lab-down verify handoff bench build lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

venv: ## what the playbooks need and the command ports, in .venv/ (PYTHON=... picks the Python)
	@scripts/venv.sh requirements.txt

venv-dev: ## what all tests need
	@scripts/venv.sh requirements-dev.txt

site: venv lab-up ## build the lab, provision it with site.yml, print the verified table
	$(PLAYBOOK) site.yml
	@echo "To hand it off to operations, with one page that says what runs where: make handoff"

# Three things at once, because hosts mostly wait: the emulated hosts, the native ones, and what needs none, which gives way to the others.
# What the last two say is printed at the end.
test: venv-dev lab-packages ## the tests, but native, moves and chaos
	@mkdir -p .lab
	@nice $(MAKE) --no-print-directory lint unit browser > .lab/checks.log 2>&1 & checks=$$!; \
	$(MAKE) --no-print-directory molecule-native > .lab/native.log 2>&1 & native=$$!; \
	$(MAKE) --no-print-directory molecule-emulated; emulated=$$?; \
	wait $$native; native=$$?; cat .lab/native.log; \
	wait $$checks; checks=$$?; cat .lab/checks.log; \
	echo "exit codes: emulated hosts $$emulated, native hosts $$native, lint and unit and browser $$checks"; exit $$((emulated || native || checks))

lint: venv-dev ## ruff, mypy, shellcheck, yamllint, antsibull-changelog, ansible-lint, ansible-test sanity
	scripts/lint.sh

unit: venv-dev ## unit tests of the collection, the lab and the project; also with the other ansible-core where it runs
	scripts/unit.sh

browser: venv-dev ## the page of a handoff in a real browser (Chromium, installed where that is allowed)
	$(BIN)/python -m pytest -q $(COLLECTION)/tests/browser

molecule: molecule-emulated molecule-native ## lab, check mode, converge, idempotence, verify, drills, destroy

# The first command removes what a run that was cut off left behind.
molecule-emulated: venv-dev lab-packages ## the scenarios whose hosts are arm64, be they emulated
	$(BIN)/molecule destroy
	$(BIN)/molecule test --scenario-name default --scenario-name plain

# They share hosts, in this order.
molecule-native: export MOLECULE_EPHEMERAL_DIRECTORY = $(CURDIR)/.lab/molecule-native
molecule-native: venv-dev lab-packages ## the scenarios whose hosts are of this machine's architecture
	$(BIN)/molecule test --scenario-name drills --scenario-name firewall --scenario-name handoff --scenario-name macos

# Once, so that scenarios that start at once don't do it all together.
lab-packages: venv
	@$(PLAYBOOK) molecule/lab/prerequisites.yml --extra-vars '{"lab_more_packages": ["gcc", "libc6-dev"]}'

# A lab of its own, natively: what is killed there has to be quick.
chaos: export LAB_NAME = prsnl-chaos
chaos: export LAB_PREFIX4 = 10.89.81
chaos: export LAB_PREFIX6 = fd00:89:81::
chaos: export LAB_ARCH = $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(shell uname -m)))
chaos: export CHAOS_KILLS ?= 30
chaos: venv-dev ## fresh hosts, on which site.yml is killed at random moments (CHAOS_KILLS=30 SEED=...); then all is well
	$(PLAYBOOK) molecule/lab/down.yml
	$(PLAYBOOK) molecule/lab/up.yml
	$(BIN)/python -m pytest -v molecule/chaos/tests; tests=$$?; $(PLAYBOOK) molecule/lab/down.yml; exit $$tests

# Hosts of this machine's own architecture, and every way in which a move is known to fail.
moves: export MOVES = all
moves: venv-dev ## PostgreSQL moves to another port while clients work, and is broken on the way in every way
	$(BIN)/molecule test --scenario-name moves

# Not a part of `make test`: its tests of a search cluster take long, and fail on a busy machine.
native: export NATIVE = all
native: venv-dev ## databases, images, a search cluster and every upgrade, on hosts of this machine's architecture
	$(BIN)/molecule test --scenario-name native

lab-up: venv ## start the lab (builds its image and package mirror the first time)
	$(PLAYBOOK) molecule/lab/up.yml

lab-down: venv ## remove the lab's hosts, keep the caches
	$(PLAYBOOK) molecule/lab/down.yml

verify: venv ## compare the running hosts with the registry (INVENTORY=...)
	$(PLAYBOOK) -i $(INVENTORY) playbooks/verify.yml

handoff: venv ## the page that operations take over from, handoff/<date>-<registry>/ (INVENTORY=...)
	$(PLAYBOOK) -i $(INVENTORY) playbooks/handoff.yml

bench: venv-dev ## both sides of every benchmark and their ratio
	for bench in benchmarks/*.py; do $(BIN)/python "$$bench" || exit; done

build: venv ## the collection as an archive under build/
	$(BIN)/ansible-galaxy collection build --force --output-path build $(COLLECTION)

lock: venv-dev ## write the lock files anew
	scripts/lock.sh

clean: ## remove what make made, except the caches outside this folder
	-[ ! -d .lab ] || $(MAKE) lab-down
	rm -rf .venv .venv-other .lab build .mypy_cache .ruff_cache .pytest_cache .hypothesis .ansible
