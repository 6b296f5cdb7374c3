#!/usr/bin/env bash
# Every check that runs nothing of the project. Prints how long each took.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
mapfile -t python < <(scripts/python-files.sh)

check() {
    local start=$SECONDS
    echo "$*" | cut -c-100
    "$@"
    echo "  $((SECONDS - start)) s"
}
check ruff check "${python[@]}"
check ruff format --check "${python[@]}"
check scripts/mypy.sh
check scripts/shell.py
check yamllint --strict .
(cd collections/ansible_collections/prsnl/ports && check antsibull-changelog lint)
check ansible-lint
check scripts/sanity.sh
