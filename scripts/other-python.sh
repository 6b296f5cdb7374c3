#!/usr/bin/env bash
# Prints a Python for the other ansible-core than the given Python gets: 3.11 for the oldest, 3.12 or later for the newest.
# Prints nothing where this machine has none.
# usage: other-python.sh PYTHON
set -euo pipefail
case $("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])') in
3.11) wanted=(3.14 3.13 3.12) ;;
*) wanted=(3.11) ;;
esac
for version in "${wanted[@]}"; do
    # pyenv's own python3.x only starts versions that are switched on.
    for python in "$(command -v "python$version" || :)" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
        if [ -x "$python" ] && "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$python"
            exit
        fi
    done
done
