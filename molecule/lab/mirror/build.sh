#!/bin/sh
# Build the signed package repositories for the hosts of the lab: Debian packages with everything that they need on top
# of the base image, PostgreSQL in PGDG's layout, and stand-ins for what no package registry has.
# usage: build.sh RELEASE ARCHITECTURE BASE SERVER CLIENT OUT PACKAGE...
# BASE is what image/build.sh made, SERVER and CLIENT are the archives that postgresql.sh takes.
# OUT becomes a folder with the repositories debian/, pgdg/, elastic/ and grafana/, their public key lab.asc, the
# hosts' package sources debian.sources, and what real hosts download as single files, dragonfly/ and cadvisor/, with
# their SHA256SUMS.
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
mkdir -p "$work/debian/pool" "$work/pgdg/pool" "$work/elastic/pool" "$work/newer" "$work/grafana/pool" "$work/dragonfly" "$work/cadvisor"

"$here/postgresql.sh" "$architecture" "$server" "$client" "$work/pgdg/pool"

# apt resolves for the other architecture and against the base image, and downloads natively.
apt() { # SOURCES ARGUMENT...
    mkdir -p "$work/apt/lists/partial" "$work/debian/pool/partial"
    cat > "$work/apt.conf" <<EOF
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
Dir::State::status "$base/status";
Dir::State::lists "$work/apt/lists";
Dir::State::extended_states "$work/apt/extended_states";
Dir::Cache "$work/apt";
Dir::Cache::archives "$work/debian/pool";
Dir::Etc::sourcelist "$1";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
EOF
    shift
    apt-get --config-file="$work/apt.conf" --quiet=2 update
    apt-get --config-file="$work/apt.conf" --quiet=2 "$@"
    rm -rf "$work/apt" "$work/apt.conf" "$work/debian/pool/partial" "$work/debian/pool/lock"
}

unpack() { # OUT SUITE PACKAGE...
    # The archive of the base image, in another suite.
    awk -v RS= -v suite="$2" '{sub(/Suites: [^\n]*/, "Suites: " suite); print; exit}' \
        "$base/debian.sources" > "$work/suite.sources"
    folder=$1
    shift 2
    mkdir -p "$folder/packages"
    (cd "$folder/packages" && apt "$work/suite.sources" download "$@")
    for package in "$folder/packages/"*.deb; do
        dpkg-deb --extract "$package" "$folder"
    done
    rm -r "$folder/packages" "$work/suite.sources"
}

# Valkey is not in Debian 12, but in its backports.
case $release in
bookworm) suite=bookworm-backports ;;
*) suite=$release ;;
esac
unpack "$work/engine" "$suite" valkey-tools
unpack "$work/engine" "$release" libatomic1 libjemalloc2 liblzf1
"$here/../standins/build.sh" dragonfly "$architecture" "$work/dragonfly/dragonfly_$architecture.deb" "$work/engine"
"$here/../standins/build.sh" dragonfly "$architecture" "$work/newer/dragonfly.deb" "$work/engine" 1.41.0+standin1
# The last release of Debian that has it.
unpack "$work/bullseye" bullseye cadvisor
cp "$work/bullseye/usr/bin/cadvisor" "$work/cadvisor/cadvisor-$architecture"
rm -r "$work/engine" "$work/bullseye"
for package in elasticsearch kibana; do
    "$here/../standins/build.sh" "$package" all "$work/elastic/pool/$package.deb"
    # What the vendor releases next: nothing may move there by itself.
    "$here/../standins/build.sh" "$package" all "$work/newer/$package.deb" "" 9.3.0+standin2
done
"$here/../standins/build.sh" grafana all "$work/grafana/pool/grafana.deb"
"$here/../standins/build.sh" grafana all "$work/newer/grafana.deb" "" 12.3.0+standin1

# With what all of these depend on.
apt "$base/debian.sources" --assume-yes --no-install-recommends --download-only install "$@" \
    "$work/pgdg/pool/"*.deb "$work/dragonfly/"*.deb "$work/elastic/pool/"*.deb "$work/grafana/pool/"*.deb
for package in elasticsearch kibana; do
    mv "$work/newer/$package.deb" "$work/elastic/pool/$package-newer.deb"
done
mv "$work/newer/grafana.deb" "$work/grafana/pool/grafana-newer.deb"
mv "$work/newer/dragonfly.deb" "$work/dragonfly/dragonfly-newer_$architecture.deb"
# The same server as a newer package: its program is another file, and has to be started anew.
dpkg-deb --raw-extract "$work/pgdg/pool/postgresql-16_"*.deb "$work/newer/postgresql"
sed -i 's/^\(Version: .*\)lab1$/\1lab2/' "$work/newer/postgresql/DEBIAN/control"
dpkg-deb --root-owner-group -Zgzip --build "$work/newer/postgresql" "$work/pgdg/pool/postgresql-16-newer.deb" > /dev/null
rm -r "$work/newer"
# The application, as its build would publish it: the same files give the same archives.
mkdir "$work/app"
for part in backend frontend; do
    tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --exclude=__pycache__ \
        --directory "$here/../app/$part" . | gzip --no-name > "$work/app/$part.tar.gz"
done
(cd "$work" && sha256sum app/* cadvisor/* dragonfly/* > SHA256SUMS)

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
publish elastic stable
publish grafana stable
cat > "$work/debian.sources" <<EOF
Types: deb
URIs: file:/srv/lab-mirror/debian
Suites: $release
Components: main
Signed-By: /srv/lab-mirror/lab.asc
EOF
chmod -R u=rwX,go=rX "$work"
mv "$work" "$out"
