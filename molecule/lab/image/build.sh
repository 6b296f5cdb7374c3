#!/bin/sh
# Build the root file system of a lab host.
# usage: build.sh registry|packages RELEASE ARCHITECTURE IMAGE OUT PACKAGE...
# `registry` starts from the container image IMAGE, `packages` from nothing but the Debian mirrors of this machine.
# OUT becomes a folder with rootfs.tar, its package database `status` and its package sources `debian.sources`.
set -eu
method=$1 release=$2 architecture=$3 image=$4 out=$5
shift 5
here=$(cd "$(dirname "$0")" && pwd)
work=$out.partial

mkdir -p "$(dirname "$out")"
exec 9> "$out.lock"
! command -v flock > /dev/null || flock 9
[ ! -d "$out" ] || exit 0
rm -rf "$work"
mkdir "$work"

from_registry() {
    built=localhost/prsnl-lab-build:$release-$architecture
    podman build --quiet --arch "$architecture" --no-hosts --network host --tag "$built" \
        --build-arg "IMAGE=$image" --build-arg "PACKAGES=$*" "$here"
    container=$(podman create --arch "$architecture" "$built" /sbin/init)
    podman cp "$container:/lab/." "$work"
    podman export --output "$work/rootfs.tar" "$container"
    podman rm "$container"
    podman rmi "$built"
}

# What apt on this machine knows of Debian's archives.
archives() {
    # shellcheck disable=SC2016  # apt's own placeholders
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' |
        grep '^Debian|'
}

sources() { # LABEL SUITES
    uri=$(archives | awk -F'|' -v label="$1" '$2 == label && $3 == "main" {print $4; exit}')
    [ -z "$uri" ] || printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' \
        "$uri" "$2" /usr/share/keyrings/debian-archive-keyring.gpg
}

from_packages() {
    # apt knows where its lists come from once it fetched them.
    archives > /dev/null || apt-get --quiet=2 update
    sources Debian "$release $release-updates" > "$work/debian.sources"
    sources Debian-Security "$release-security" >> "$work/debian.sources"
    if [ ! -s "$work/debian.sources" ]; then
        echo "The package sources of this machine have no Debian archive. Add one to /etc/apt/sources.list.d/." >&2
        exit 1
    fi
    # Proxies and the like of this machine.
    apt-config dump Acquire > "$work/apt.conf"
    mkdir "$work/tmp"
    # shellcheck disable=SC2016  # $1 is mmdebstrap's
    # In namespaces of its own, so that an interrupted run leaves nothing mounted and nothing running.
    TMPDIR=$work/tmp unshare --mount --pid --fork --kill-child --mount-proc mmdebstrap --arch="$architecture" --variant=apt --format=tar --quiet \
        --include="$(echo "$*" | tr ' ' ,)" --aptopt="$work/apt.conf" --dpkgopt="$here/dpkg.cfg" \
        --customize-hook="download /var/lib/dpkg/status '$work/status'" \
        --customize-hook="upload '$here/setup.sh' /setup.sh" \
        --customize-hook='chroot "$1" sh /setup.sh' \
        --customize-hook='rm "$1/setup.sh"' \
        "$release" "$work/rootfs.tar" "$work/debian.sources"
    rm -rf "$work/tmp" "$work/apt.conf"
}

"from_$method" "$@"
mv "$work" "$out"
