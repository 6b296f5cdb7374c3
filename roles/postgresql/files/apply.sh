# Brings a running server to its configuration files, as far as that needs no restart, and reports as JSON what it has then.
# Arguments: directory of programs, unit, data directory, file of settings, pg_hba.conf, and with TLS its certificate and key.
set -eu
cd /
programs=$1 unit=$2 data=$3 settings=$4
shift 3 # The remaining ones are what a reload reads.
pid=$data/postmaster.pid

if ! { [ -e "$pid" ] && kill -0 "$(head -n 1 "$pid")" 2>/dev/null; }; then
  echo 'PostgreSQL does not run' >&2
  exit 1
fi
# The port and socket that are in effect, whatever the files say.
ask() {
  runuser --user postgres -- "$programs/psql" -XAtq -v ON_ERROR_STOP=1 \
    -h "$(sed -n 5p "$pid")" -p "$(sed -n 4p "$pid")" -d postgres -c "$1"
}

# A server whose certificate fails stays up without TLS.
if [ $# -eq 4 ] && ! error=$(runuser --user postgres -- python3 -c 'import ssl, sys
ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*sys.argv[1:])' "$3" "$4" </dev/null 2>&1); then
  printf 'The user postgres can not use the certificate %s with the key %s: %s\n' "$3" "$4" "${error##*
}" >&2
  exit 1
fi

# Found in the files, not in the memory of the server. A changed setting that needs a restart is an error there as well.
errors=$(ask "
  select format('%s:%s: %s', sourcefile, sourceline, concat_ws(': ', name, error)) from pg_file_settings
   where error is not null and not exists
     (select from pg_settings s where s.name = pg_file_settings.name and s.context = 'postmaster')
  union all
  select format('%s:%s: %s', file_name, line_number, error) from pg_hba_file_rules where error is not null")
if [ -n "$errors" ]; then
  printf 'PostgreSQL keeps its former configuration, because it can not read the new one:\n%s\n' "$errors" >&2
  exit 1
fi

reloaded=false
files=$(printf ",'%s'" "$@")
# Files have whole seconds, so a file of the second of the reload may be newer.
stale="pg_conf_load_time() < (select max((pg_stat_file(f)).modification) + interval '1 s' from unnest(array[${files#,}]) f)"
if [ "$(ask "select $stale")" = t ]; then
  sleep 1
  ask 'select pg_reload_conf()' >/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    if [ "$(ask "select $stale")" = f ]; then reloaded=true && break; fi
    sleep 0.5
  done
fi

unit_changed=false
# The program's own date is that of its package.
if [ -n "$(find "/etc/systemd/system/$unit.d" "$programs/postgres" -cnewer "$pid" -type f 2>/dev/null)" ]; then unit_changed=true; fi

ask "
  select json_build_object(
    'reloaded', $reloaded,
    'port', current_setting('port')::int,
    'checksums', current_setting('data_checksums')::bool,
    'restart', (select coalesce(json_agg(name order by name), '[]') from (
      select name from pg_settings where pending_restart union all select '$unit' where $unit_changed) _),
    'hidden', (select coalesce(json_object_agg(name, place), '{}') from (
      select ours.name, format('%s:%s', other.sourcefile, other.sourceline) as place
        from pg_file_settings ours join pg_file_settings other on other.name = ours.name and other.seqno > ours.seqno
       where ours.sourcefile = '$settings' and other.sourcefile <> '$settings'
      union all
      select name, 'the command line' from pg_settings
       where source = 'command line' and name in (select name from pg_file_settings where sourcefile = '$settings')) _),
    'monitors', (select coalesce(json_agg(r.rolname), '[]')
      from pg_auth_members m join pg_roles r on r.oid = m.member
      where m.roleid = 'pg_monitor'::regrole and r.rolcanlogin
        and not (r.rolsuper or r.rolcreatedb or r.rolcreaterole or r.rolreplication or r.rolbypassrls)),
    'databases', (select json_object_agg(datname, pg_get_userbyid(datdba)) from pg_database),
    'included', exists (select from pg_file_settings where sourcefile = '$settings'))"
