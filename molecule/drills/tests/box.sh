#!/bin/bash
# Makes the namespace that it is started in (unshare --mount --net --pid --fork --mount-proc) a place for engines of
# containers: root's and that of a user, both empty, and a network with a neighbour. Nothing of it is seen outside.
# usage: box.sh FOLDER CONTAINERS_CONF, FOLDER on a file system of its own; prints the neighbour's pid and stays
set -euo pipefail
box=$1 conf=$2

for folder in /etc /run /var/lib; do
    layers=$box/layers$folder
    mkdir -p "$layers/upper" "$layers/work"
    mount -t overlay overlay -o "lowerdir=$folder,upperdir=$layers/upper,workdir=$layers/work" "$folder"
done
mkdir -p /var/lib/containers /run/containers
mount -t tmpfs tmpfs /var/lib/containers
mount -t tmpfs tmpfs /run/containers
rm -rf /var/lib/prsnl-ports /run/prsnl-ports /etc/prsnl-ports

# Of the distributions, each gives its users these ranges and everybody this device.
echo "drill:x:$DRILL_UID:$DRILL_UID::$box/home:/bin/sh" >> /etc/passwd
echo "drill:x:$DRILL_UID:" >> /etc/group
echo "drill:2000000:65536" | tee /etc/subuid > /etc/subgid
mkdir "$box/dev"
mount -t tmpfs -o dev tmpfs "$box/dev"
mknod -m 666 "$box/dev/tun" c 10 200
mount --bind "$box/dev/tun" /dev/net/tun

settings=$box/home/.config/containers
mkdir -p "$settings" "/run/user/$DRILL_UID" /etc/containers
[ ! -e "$conf" ] || cp "$conf" /etc/containers/containers.conf
{ [ ! -e "$conf" ] || cat "$conf"; } > "$settings/containers.conf"
grep -q '^\[engine\]' "$settings/containers.conf" || echo '[engine]' >> "$settings/containers.conf"
# There is no manager of the user's that would have control groups for them.
sed -i '/^cgroup_manager/d; s/^\[engine\]/&\ncgroup_manager = "cgroupfs"\nevents_logger = "file"/' "$settings/containers.conf"
printf '[storage]\ndriver = "vfs"\n' > "$settings/storage.conf"
chown -R "$DRILL_UID:$DRILL_UID" "$box/home" "/run/user/$DRILL_UID"
chmod 700 "/run/user/$DRILL_UID"

unshare --net sleep infinity &
until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link set lo up
ip link add v0 type veth peer name v1 netns $!
ip addr add 10.91.0.1/24 dev v0
ip link set v0 up
nsenter --target $! --net ip addr add 10.91.0.2/24 dev v1
nsenter --target $! --net ip link set v1 up
echo "$!"
wait
