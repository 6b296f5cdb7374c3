#!/usr/bin/env bash
# mypy --strict on all Python of the repository, or on the files that are named. Settings: pyproject.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || mapfile -t files < <(git ls-files '*.py')
.venv/bin/mypy "${files[@]}" "$@"
