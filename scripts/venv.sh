#!/usr/bin/env bash
# Installs a requirements file into .venv/. Debian splits `venv` from python3, so the package is added where that is allowed.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "error: $($python --version) found, Python 3.11 or later is needed. Set PYTHON=/path/to/python3.11." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q
        apt-get install -qy --no-install-recommends "python$version-venv"
    else
        echo "error: $python has no venv module. Install it, e.g.: sudo apt-get install python$version-venv" >&2
        exit 1
    fi
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "Installing $1 into .venv/"
# uv takes seconds where pip takes a minute. It doesn't know pip's settings, so pip does it where its own ones are needed.
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements-lock.txt uv
.venv/bin/uv pip install --quiet --python .venv/bin/python -r "$1" -c requirements-lock.txt ||
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$1" -c requirements-lock.txt
