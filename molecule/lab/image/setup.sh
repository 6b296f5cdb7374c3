#!/bin/sh
# Runs inside the root file system of a lab host, after its packages were installed.
set -eu
# shellcheck source=/dev/null
. /etc/os-release

# What differs between labs is mounted on /etc/lab, what belongs to one host on /etc/ssh/lab.
rm -f /etc/ssh/ssh_host_* /etc/apt/sources.list /etc/apt/sources.list.d/*
ln -sf /etc/lab/hosts /etc/hosts
ln -sfn "/etc/lab/mirror-$VERSION_CODENAME" /srv/lab-mirror
ln -sf /srv/lab-mirror/debian.sources /etc/apt/sources.list.d/debian.sources
ln -sfn /etc/lab/service.d /etc/systemd/system/service.d
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id

# Leftovers of the image's builders.
rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/apt/apt.conf.d/docker-* /usr/sbin/policy-rc.d
echo 'Acquire::Languages "none";' > /etc/apt/apt.conf.d/90lab

cat > /etc/ssh/sshd_config.d/lab.conf <<'EOF'
HostKey /etc/ssh/lab/ssh_host_ed25519_key
AuthorizedKeysFile /etc/lab/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
PrintLastLog no
EOF

# A container has no seats, consoles, disks or kernel of its own, and nothing shall happen by the clock.
systemctl mask \
    apt-daily-upgrade.timer apt-daily.timer dpkg-db-backup.timer systemd-tmpfiles-clean.timer \
    console-getty.service getty.target getty-static.service systemd-logind.service \
    dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    systemd-journal-flush.service systemd-remount-fs.service \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service
systemctl set-default multi-user.target
# They ask about the same things at every reload, which is slow under emulation.
mkdir -p /etc/systemd/system-generators
for generator in /usr/lib/systemd/system-generators/*; do
    case $generator in
    *-sysv-generator) ;;
    *) ln -sf /dev/null "/etc/systemd/system-generators/${generator##*/}" ;;
    esac
done
