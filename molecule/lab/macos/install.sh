#!/bin/sh
# Make a simulated Mac of a lab host. Runs there, in the folder that holds the simulation.
set -eu
base=/usr/local/simulated
here=$(pwd)

[ "$here" = "$base" ] || { mkdir -p "$base"; cp -R . "$base/"; }
chmod -R u=rwX,go=rX "$base"
mkdir -p "$base/python" /var/log/simulated /run/simulated
cp "$base/sitecustomize.py" "$base/python/"
install -m 0755 "$base/libproc.so" /usr/lib/libproc.dylib
chmod 0755 "$base/python3"
: >> /var/log/simulated/programs
chmod 0666 /var/log/simulated/programs

# A command of macOS at its place.
command() { # PATH PROGRAM [NAME]
    mkdir -p "$(dirname "$1")"
    rm -f "$1"
    printf '#!/bin/sh\nexec /usr/bin/python3 -s -E %s/%s "$@"\n' "$base" "$2" > "$1"
    chmod 0755 "$1"
}
command /bin/launchctl launchctl.py
command /sbin/pfctl pfctl.py
command /usr/bin/dscl dscl.py
for path in /usr/bin/sw_vers /usr/sbin/sysctl /usr/bin/plutil /usr/bin/defaults /usr/sbin/lsof /usr/bin/vm_stat \
    /usr/sbin/system_profiler /usr/libexec/ApplicationFirewall/socketfilterfw; do
    command "$path" "small.py $path"
done

# The folders and files of macOS.
mkdir -p /System/Library/CoreServices /System/Volumes/Data /Library/LaunchDaemons /Library/LaunchAgents /etc/pf.anchors /var/empty
cat > /System/Library/CoreServices/SystemVersion.plist <<'PLIST'
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>ProductBuildVersion</key><string>25B78</string>
<key>ProductName</key><string>macOS</string>
<key>ProductVersion</key><string>26.1</string>
</dict></plist>
PLIST
# As Apple ships it.
cat > "$base/pf.conf" <<'PF'
scrub-anchor "com.apple/*"
nat-anchor "com.apple/*"
rdr-anchor "com.apple/*"
dummynet-anchor "com.apple/*"
anchor "com.apple/*"
load anchor "com.apple" from "/etc/pf.anchors/com.apple"
PF
[ -e /etc/pf.conf ] || cp "$base/pf.conf" /etc/pf.conf
[ -e /etc/pf.anchors/com.apple ] || printf 'anchor "200.AirDrop/*"\nanchor "250.ApplicationFirewall/*"\n' > /etc/pf.anchors/com.apple

# Users and groups: root's group is wheel, people are of staff.
sed -i -e 's/^root:x:0:$/wheel:x:0:/' -e 's/^staff:x:50:/staff:x:20:/' -e 's/^dialout:x:20:/dialout:x:50:/' /etc/group
id developer > /dev/null 2>&1 || useradd --uid 501 --gid staff --create-home --home-dir /Users/developer --shell /bin/bash developer
echo 'developer ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/developer
# What macOS calls so, glibc has by another name.
[ -e /usr/lib/locale/en_US.utf8 ] || cp -R /usr/lib/locale/C.utf8 /usr/lib/locale/en_US.utf8

# Homebrew belongs to whoever installed it.
mkdir -p /opt/homebrew/bin /opt/homebrew/Cellar
command /opt/homebrew/bin/brew brew.py
chown -R developer:staff /opt/homebrew

# launchd, and sshd that it starts for each connection.
cat > /etc/systemd/system/simulated-launchd.service <<'UNIT'
[Unit]
Description=Simulated launchd
After=network.target
[Service]
ExecStart=/usr/bin/python3 -s -E /usr/local/simulated/launchd.py
KillMode=mixed
TimeoutStopSec=60
[Install]
WantedBy=multi-user.target
UNIT
cat > /etc/systemd/system/simulated-ssh.socket <<'UNIT'
[Unit]
Description=Simulated launchd, listening for sshd
[Socket]
ListenStream=22
Accept=yes
MaxConnections=256
[Install]
WantedBy=sockets.target
UNIT
cat > /etc/systemd/system/simulated-ssh@.service <<'UNIT'
[Unit]
Description=SSH connection
[Service]
ExecStart=-/usr/sbin/sshd -i
StandardInput=socket
RuntimeDirectory=sshd
RuntimeDirectoryPreserve=yes
KillMode=process
UNIT
systemctl daemon-reload
systemctl enable --quiet --now simulated-launchd.service
if systemctl is-enabled --quiet ssh.service; then
    systemctl disable --quiet --now ssh.service
    systemctl enable --quiet --now simulated-ssh.socket
fi
