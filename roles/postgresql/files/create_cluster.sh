# Makes a cluster, or nothing at all. Arguments: version, cluster, configuration directory, data directory, port, locale.
set -eu
version=$1 cluster=$2 config=$3 data=$4 port=$5 locale=$6
# Stands as long as what is there is ours and not complete. It outlives a power cut, so the next run can tell.
unfinished=/var/lib/postgresql/.$version-$cluster.unfinished

remove() {
  rm -rf -- "$config" "$data"
  rmdir --ignore-fail-on-non-empty "${config%/*}" "${data%/*}" 2>/dev/null || :
  rm -f -- "$unfinished"
}

if [ -e "$unfinished" ]; then
  # A server that ever ran has left its options: then there may be data.
  if [ -e "$data/postmaster.opts" ]; then rm -f -- "$unfinished"; else remove; fi
fi
if [ -e "$config/postgresql.conf" ]; then exit 0; fi
if [ -n "$(ls -A "$data" 2>/dev/null)" ]; then
  echo "found data in $data, but no configuration in $config; nothing was changed. Move the data away," \
    "or give it a configuration with pg_createcluster" >&2
  exit 1
fi

trap 'if [ -e "$unfinished" ]; then remove; fi' EXIT
trap 'exit 1' HUP INT TERM
: >"$unfinished"
pg_createcluster --port "$port" --locale "$locale" --encoding UTF8 --pgoption add_include_dir=conf.d \
  "$version" "$cluster" -- --data-checksums
# The role's settings have it.
pg_conftool "$version" "$cluster" remove port
sync --file-system "$data"
rm -f -- "$unfinished"
