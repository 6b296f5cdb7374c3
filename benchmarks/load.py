"""Load on PostgreSQL and the cache as the roles set them up, beside the same with own defaults.

The cache is the engine inside the lab's stand-in for DragonflyDB.

Needs the lab, provisioned: `make site`. Both sides run on the host `data` in turns, and the medians
are printed with their ratio (above 1: the roles' settings are faster). Usage: load.py [seconds]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "molecule" / "lab" / "testing"))
from lab import STATE, on, port_of  # noqa: E402

SECONDS = 10
ROUNDS = 3
SCALE = 5
CLIENTS = 8
REQUESTS = 20_000
HOST = "data"

# A second server with initdb's own configuration, and no port at all.
DEFAULTS = f"""
set -eu
bin=/usr/lib/postgresql/16/bin
work=$(mktemp -d /var/lib/postgresql/benchmark.XXXXXX)
chown postgres: "$work"
stop() {{
  cd /
  runuser -u postgres -- $bin/pg_ctl -D "$work/data" -m immediate stop >/dev/null 2>&1 || :
  rm -rf "$work"
}}
trap stop EXIT
cd "$work"
runuser -u postgres -- $bin/initdb -D "$work/data" --no-sync >/dev/null
runuser -u postgres -- $bin/pg_ctl -D "$work/data" -w -o "-c listen_addresses= -k $work" \\
  -l "$work/log" start >/dev/null
runuser -u postgres -- $bin/createdb -h "$work" bench
runuser -u postgres -- $bin/pgbench -q -i -s {SCALE} -h "$work" bench 2>/dev/null >&2
runuser -u postgres -- $bin/pgbench -c {CLIENTS} -j 2 -T @SECONDS@ -h "$work" bench
"""
ROLE = f"""
set -eu
bin=/usr/lib/postgresql/16/bin
cd /
export PGHOST=/var/run/postgresql PGPORT=@PORT@
trap 'runuser -u postgres -- $bin/dropdb --if-exists bench' EXIT
runuser -u postgres -- $bin/createdb bench
runuser -u postgres -- $bin/pgbench -q -i -s {SCALE} bench 2>/dev/null >&2
runuser -u postgres -- $bin/pgbench -c {CLIENTS} -j 2 -T @SECONDS@ bench
"""
CACHE = f"redis-benchmark -q -t set,get -c {CLIENTS} -n {REQUESTS} -P 1 --csv"
CACHE_DEFAULTS = f"""
set -eu
work=$(mktemp -d)
trap 'kill $server; rm -rf "$work"' EXIT
cd "$work"
port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
LD_LIBRARY_PATH=/usr/lib/dragonfly /usr/lib/dragonfly/dragonfly --port "$port" \\
  --bind 127.0.0.1 >/dev/null 2>&1 </dev/null &
server=$!
for _ in $(seq 50); do redis-cli -p "$port" ping >/dev/null 2>&1 || sleep 0.2; done
{CACHE} -h 127.0.0.1 -p "$port"
"""


def tps(output: str) -> float:
    """Transactions a second, by pgbench."""
    return float(re.findall(r"tps = ([0-9.]+)", output)[-1])


def rates(output: str) -> dict[str, float]:
    """Requests a second by command, by redis-benchmark."""
    return {name: float(rate) for name, rate in re.findall(r'"(SET|GET)","([0-9.]+)"', output)}


def main() -> int:
    """Print both sides and their ratios."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else str(SECONDS)
    if not (STATE / "ssh_config").exists():
        print("Skipped: there is no lab here. Run `make site` first.")
        return 0
    role = ROLE.replace("@PORT@", str(port_of("postgresql.sql")))
    on(
        HOST,
        "command -v redis-benchmark || apt-get -qq --no-install-recommends install redis-tools",
    )
    password = (STATE / "secrets" / "dragonfly.password").read_text(encoding="utf-8").strip()
    port = port_of("dragonfly.redis")
    # It takes the password as an argument only; the host is disposable.
    script = f'read -r password; {CACHE} -a "$password" -h 127.0.0.1 -p {port}'
    pairs: dict[str, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        rows = {
            "pgbench, transactions/s": (
                tps(on(HOST, role.replace("@SECONDS@", seconds))),
                tps(on(HOST, DEFAULTS.replace("@SECONDS@", seconds))),
            )
        }
        ours = rates(on(HOST, script, stdin=f"{password}\n"))
        theirs = rates(on(HOST, CACHE_DEFAULTS))
        rows |= {f"cache {name}, requests/s": (ours[name], theirs[name]) for name in ours}
        for name, pair in rows.items():
            pairs.setdefault(name, []).append(pair)
    print(f"{'':28}{'role':>12}{'defaults':>12}{'ratio':>8}")
    for name, found in pairs.items():
        left, right = (median(side) for side in zip(*found, strict=True))
        print(f"{name:28}{left:12.0f}{right:12.0f}{left / right:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
