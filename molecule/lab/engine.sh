#!/bin/sh
# Find out how podman can run containers here.
# usage: engine.sh CONF
# Writes CONF, a containers.conf, if its own settings don't work but runc with this machine's limits does: crun refuses
# hybrid control groups, and not every machine lets root raise limits.
set -eu
conf=$1
image=localhost/prsnl-lab-probe:$$
work=$(mktemp -d)
trap 'rm -rf "$work"; podman rmi --force "$image" > /dev/null 2>&1 || :' EXIT

# shellcheck disable=SC2046  # one word for each library
tar --create --dereference --directory / bin/true $(ldd /bin/true | grep -o '/[^ )]*' | cut -c2-) > "$work/root.tar"
podman import --quiet "$work/root.tar" "$image" > /dev/null
try() {
    podman run --rm --network none "$image" /bin/true
}

if try 2> "$work/default"; then
    exit 0
fi
# shellcheck disable=SC3045  # sh on every Linux has it
cat > "$work/containers.conf" <<EOF
[containers]
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
EOF
if CONTAINERS_CONF=$work/containers.conf try 2> "$work/runc"; then
    mv "$work/containers.conf" "$conf"
    echo "runc is used: $(cat "$work/default")"
    exit 0
fi
echo "podman cannot run a container here. With its own settings: $(cat "$work/default")" >&2
echo "With runc and cgroupfs: $(cat "$work/runc")" >&2
exit 1
