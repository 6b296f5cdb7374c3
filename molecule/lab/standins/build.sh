#!/bin/sh
# Make the packages of the lab's stand-ins.
# usage: build.sh PACKAGE ARCHITECTURE OUT.deb [ENGINE_ROOT [VERSION]]
# ENGINE_ROOT is a folder into which the engine's Debian packages were unpacked: for dragonfly only.
# VERSION is another one than the stand-in's own, to upgrade to.
set -eu
package=$1 architecture=$2 out=$3 engine=${4:-} other=${5:-}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -a "$here/packages/$package/root/." "$work/"
mkdir -p "$work/DEBIAN" "$work/usr/lib/$package/standin/names"
for module in __init__ addresses cluster daemon sandbox secret strict web yamlfile "$package"; do
    cp "$here/standin/$module.py" "$work/usr/lib/$package/standin/"
done
cp "$here/standin/names/$package.txt" "$work/usr/lib/$package/standin/names/"
if [ -n "$engine" ]; then
    # Valkey is called like the program whose place it takes, in the process list, too.
    cp -L "$engine/usr/bin/valkey-check-rdb" "$work/usr/lib/$package/$package"
    for library in libatomic.so.1 libjemalloc.so.2 liblzf.so.1; do
        find "$engine/usr/lib" "$engine/lib" -name "$library" -exec cp -L {} "$work/usr/lib/$package/" \; 2> /dev/null || true
        [ -f "$work/usr/lib/$package/$library" ] || { echo "$engine has no $library" >&2; exit 1; }
    done
fi
installed=$work/usr/lib/$package/standin/$package.py
[ -z "$other" ] || sed -i "s/^\(VERSION.*\)\".*\"$/\1\"$other\"/" "$installed"
version=$(sed -n 's/^VERSION.*"\(.*\)"$/\1/p' "$installed")
chmod -R u=rwX,go=rX "$work"
find "$work" -path '*bin/*' -type f -exec chmod 0755 {} +
[ -z "$engine" ] || chmod 0755 "$work/usr/lib/$package/$package"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" \
    -e "s/@SIZE@/$(du --summarize --block-size=1024 "$work" | cut -f1)/" \
    "$here/packages/$package/control" > "$work/DEBIAN/control"
for file in conffiles postinst prerm postrm; do
    [ ! -f "$here/packages/$package/$file" ] || cp "$here/packages/$package/$file" "$work/DEBIAN/"
done
for script in postinst prerm postrm; do
    [ ! -f "$work/DEBIAN/$script" ] || chmod 0755 "$work/DEBIAN/$script"
done
# gzip, because xz takes long to unpack under emulation.
dpkg-deb --root-owner-group -Zgzip --build "$work" "$out" > /dev/null
