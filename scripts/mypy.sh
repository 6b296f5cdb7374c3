#!/usr/bin/env bash
# mypy --strict on all Python of the repository, or on the files that are named. Its settings are in pyproject.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# != 0 ]; then
    exec .venv/bin/mypy --scripts-are-modules "$@"
fi
# pytest lets every folder have a conftest.py, but mypy knows one module of a name only, so each is looked at alone.
mapfile -t files < <(scripts/python-files.sh | grep -v '/conftest\.py$')
.venv/bin/mypy --scripts-are-modules "${files[@]}"
scripts/python-files.sh | grep '/conftest\.py$' | xargs -n 1 .venv/bin/mypy --no-error-summary
