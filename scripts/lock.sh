#!/usr/bin/env bash
# Writes the lock files: what requirements-dev.txt resolves to today for the newest ansible-core, and for the oldest one
# the same versions wherever it allows them.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { # PYTHON LOCK OPTION...
    .venv/bin/uv pip compile --quiet --python-version "$1" --no-annotate --no-header --output-file "$2" "${@:3}" \
        requirements-dev.txt
}
compile 3.12 requirements-lock.txt --upgrade
cp requirements-lock.txt requirements-lock-oldest.txt
compile 3.11 requirements-lock-oldest.txt
