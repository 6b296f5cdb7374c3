#!/usr/bin/env bash
# Lists all Python of the repository, programs without suffix included: what Git has, and would have with `git add`.
set -euo pipefail
cd "$(dirname "$0")/.."
{
    git ls-files --cached --others --exclude-standard '*.py'
    git grep --untracked -lIE '^#!.*python' -- ':!*.py'
} | while read -r file; do [ ! -f "$file" ] || echo "$file"; done
