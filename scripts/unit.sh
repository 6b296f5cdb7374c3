#!/usr/bin/env bash
# The unit tests, and once more with the other ansible-core where this machine has a Python for it: without the tests
# that take long and have nothing to do with either.
set -euo pipefail
cd "$(dirname "$0")/.."
paths=(tests collections/ansible_collections/prsnl/ports/tests/unit roles/*/tests/unit molecule/lab/tests molecule/lab/standins/tests)

run() { # FOLDER OPTION...
    "$1/bin/python" -c 'import sys, ansible.release as core; print("ansible-core", core.__version__, "on Python", *sys.version.split()[:1])'
    PATH="$PWD/$1/bin:$PATH" "$1/bin/python" -m pytest -q "${@:2}" "${paths[@]}"
}

run .venv
other=$(scripts/other-python.sh .venv/bin/python)
if [ -n "$other" ]; then
    PYTHON=$other scripts/venv.sh requirements-unit.txt .venv-other
    run .venv-other -m "not slow"
fi
