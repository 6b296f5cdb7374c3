# What the host has already, as JSON; files that this role replaces, in base64.
# Arguments: version, cluster, unit, default data directory, settings file, pg_hba.conf.
set -eu
version=$1 cluster=$2 unit=$3 data=$4 settings=$5 hba=$6
config=/etc/postgresql/$version/$cluster/postgresql.conf

text() { if [ -e "$1" ]; then base64 --wrap 0 "$1"; fi; }
truth() { if "$@"; then echo true; else echo false; fi; }

# The memory that PostgreSQL may have: the machine's, or less where a container, a slice or the unit has a limit.
bytes=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) * 1024))
for limit in $(cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || :) \
    $(systemctl show --property=MemoryMax --value "$unit" system-postgresql.slice system.slice 2>/dev/null || :); do
  case $limit in *[!0-9]*) continue ;; esac
  if [ "$limit" -lt "$bytes" ]; then bytes=$limit; fi
done

port=0
main_port=false
if [ -e "$config" ]; then
  data=$(sed -n "s/^data_directory *= *'\(.*\)'.*/\1/p" "$config" | tail -n 1)
  main_port=$(truth grep -Eq '^[[:space:]]*port[[:space:]]*=' "$config")
  if [ -e "$data/postmaster.pid" ] && kill -0 "$(head -n 1 "$data/postmaster.pid")" 2>/dev/null; then
    port=$(sed -n 4p "$data/postmaster.pid")
  fi
fi

printf '{"cluster": %s, "unfinished": %s, "data": "%s", "main_port": %s, "port": %s, "enabled": %s, "memory_mb": %s, "former": {"%s": "%s", "%s": "%s"}}\n' \
  "$(truth [ -e "$config" ])" "$(truth [ -e "/var/lib/postgresql/.$version-$cluster.unfinished" ])" \
  "$data" "$main_port" "$port" "$(truth [ -e "/etc/systemd/system/multi-user.target.wants/$unit" ])" $((bytes / 1048576)) \
  "$settings" "$(text "$settings")" "$hba" "$(text "$hba")"
