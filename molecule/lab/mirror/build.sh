#!/bin/sh
# Build a signed package repository for the hosts of the lab: Debian packages with everything that they need on top
# of the base image, and PostgreSQL in PGDG's layout.
# usage: build.sh RELEASE ARCHITECTURE BASE SERVER CLIENT OUT PACKAGE...
# BASE is what image/build.sh made, SERVER and CLIENT are the archives that postgresql.sh takes.
# OUT becomes a folder with the repositories debian/ and pgdg/, their public key lab.asc, and the
# hosts' package sources debian.sources.
set -eu
release=$1 architecture=$2 base=$3 server=$4 client=$5 out=$6
shift 6
here=$(cd "$(dirname "$0")" && pwd)
work=$out.partial

mkdir -p "$(dirname "$out")"
exec 9> "$out.lock"
flock 9
[ ! -d "$out" ] || exit 0
rm -rf "$work"
mkdir -p "$work/debian/pool/partial" "$work/pgdg/pool" "$work/apt/lists/partial"

"$here/postgresql.sh" "$architecture" "$server" "$client" "$work/pgdg/pool"

# apt resolves for the other architecture and against the base image, and downloads natively.
cat > "$work/apt.conf" <<EOF
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
Dir::State::status "$base/status";
Dir::State::lists "$work/apt/lists";
Dir::State::extended_states "$work/apt/extended_states";
Dir::Cache "$work/apt";
Dir::Cache::archives "$work/debian/pool";
Dir::Etc::sourcelist "$base/debian.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
EOF
apt-get --config-file="$work/apt.conf" --quiet=2 update
apt-get --config-file="$work/apt.conf" --quiet=2 --assume-yes --no-install-recommends --download-only install \
    "$@" "$work/pgdg/pool/"*.deb
rm -rf "$work/apt" "$work/apt.conf" "$work/debian/pool/partial" "$work/debian/pool/lock"

# The secret half of the key lives only as long as this script: nobody can sign for this repository later.
GNUPGHOME=$(mktemp -d)
export GNUPGHOME
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
gpg --batch --quiet --passphrase '' --quick-generate-key 'PRSNL lab package repository' ed25519 sign never
gpg --batch --quiet --armor --export > "$work/lab.asc"

publish() { # FOLDER SUITE
    cd "$work/$1"
    index=dists/$2/main/binary-$architecture
    mkdir -p "$index"
    apt-ftparchive packages pool > "$index/Packages"
    apt-ftparchive -o "APT::FTPArchive::Release::Origin=PRSNL lab" -o "APT::FTPArchive::Release::Label=PRSNL lab" \
        -o "APT::FTPArchive::Release::Suite=$2" -o "APT::FTPArchive::Release::Codename=$2" \
        -o "APT::FTPArchive::Release::Components=main" \
        -o "APT::FTPArchive::Release::Architectures=$architecture" release "dists/$2" > "$work/Release"
    gpg --batch --quiet --clearsign --output "dists/$2/InRelease" "$work/Release"
    rm "$work/Release"
}
publish debian "$release"
publish pgdg "$release-pgdg"
cat > "$work/debian.sources" <<EOF
Types: deb
URIs: file:/srv/lab-mirror/debian
Suites: $release
Components: main
Signed-By: /srv/lab-mirror/lab.asc
EOF
chmod -R u=rwX,go=rX "$work"
mv "$work" "$out"
