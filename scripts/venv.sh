#!/usr/bin/env bash
# Installs a requirements file into a virtual environment: with the newest ansible-core where Python is new enough for it.
# usage: [PYTHON=/path/to/python] venv.sh REQUIREMENTS [FOLDER]
# Debian splits `venv` from python3, so the package is added where that is allowed.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3} requirements=$1 folder=${2:-.venv}

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || {
    echo "error: '$python' is no Python that runs. Set PYTHON=/path/to/python3.11 or later." >&2
    exit 1
}
case $version in
2.* | 3.? | 3.10)
    echo "error: $("$python" --version) found, Python 3.11 or later is needed. Set PYTHON=/path/to/python3.11 or later." >&2
    exit 1
    ;;
# ansible-core 2.20 and later need Python 3.12.
3.11) lock="requirements-lock-oldest.txt" ;;
*) lock="requirements-lock.txt" ;;
esac
stamp=$folder/.${requirements%.txt}-$version
if [ -e "$stamp" ] && [ -z "$(find requirements*.txt -newer "$stamp")" ]; then
    exit
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q
        apt-get install -qy --no-install-recommends "python$version-venv"
    else
        echo "error: $python has no venv module. Install it, e.g.: sudo apt-get install python$version-venv" >&2
        exit 1
    fi
fi
# An environment of another Python is made anew.
if [ "$("$folder/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" != "$version" ]; then
    "$python" -m venv --clear "$folder"
fi
echo "Installing $requirements for Python $version into $folder/, as $lock says"
# uv takes seconds where pip takes a minute. It doesn't know pip's settings, so pip does it where its own ones are needed.
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check -c "$lock" uv
"$folder/bin/uv" pip install --quiet --python "$folder/bin/python" -r "$requirements" -c "$lock" ||
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" -c "$lock"

# The collection's own command, so that it is as new as the collection.
cat >"$folder/bin/ports" <<SH
#!/bin/sh
exec "$PWD/$folder/bin/python" "$PWD/collections/ansible_collections/prsnl/ports/plugins/plugin_utils/console" "\$@"
SH
chmod +x "$folder/bin/ports"
touch "$stamp"
