#!/usr/bin/env bash
# mypy --strict on all Python of the repository, or on the files that are named. Its settings are in pyproject.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# = 0 ]; then
    mapfile -t files < <(scripts/python-files.sh)
    set -- "${files[@]}"
fi
.venv/bin/mypy --scripts-are-modules "$@"
