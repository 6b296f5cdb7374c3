#!/usr/bin/env bash
# mypy finds the collection as a namespace package below collections/.
set -euo pipefail
cd "$(dirname "$0")/.."
MYPYPATH=collections .venv/bin/mypy --explicit-package-bases collections/ansible_collections/prsnl/ports/plugins "$@"
