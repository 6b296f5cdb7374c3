"""DragonflyDB's flags are taken as the vendor takes them, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from standin import dragonfly, strict

GOOD = """
# a comment
--port=7391
--bind=127.0.0.1
--admin_port=7392
--requirepass=se"cret
--maxmemory=1gb
--proactor_threads=2
--dbfilename=dump-{timestamp}
--snapshot_cron=*/30 * * * *
--primary_port_http_enabled=false
--cache_mode
--noversion_check
"""
INFO = {
    "role": "master",
    "uptime_in_seconds": "7",
    "maxclients": "100",
    "blocked_clients": "0",
    "used_memory": "1000",
    "used_memory_peak": "2000",
    "maxmemory": "3000",
    "used_memory_rss": "4000",
    "total_connections_received": "5",
    "keyspace_hits": "6",
    "keyspace_misses": "7",
    "total_net_input_bytes": "8",
    "total_net_output_bytes": "9",
    "connected_clients": "10",
    "total_commands_processed": "11",
    "expired_keys": "12",
    "evicted_keys": "13",
    "cmdstat_get": "calls=14,usec=1500000,usec_per_call=1.0",
    "db0": "keys=16,expires=17,avg_ttl=0",
}


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> dragonfly.Flags:
    path = tmp_path / "dragonfly.conf"
    path.write_text(text)
    flags = dragonfly.read_flags([f"--flagfile={path}"], environment or {})
    dragonfly.validate(flags)
    return flags


def test_good_flagfile_configures_the_engine(tmp_path: Path) -> None:
    config = dragonfly.engine_config(read(tmp_path, GOOD), "/run/engine.sock").splitlines()
    assert "bind 127.0.0.1" in config
    assert "port 7391" in config
    assert 'requirepass "se\\"cret"' in config
    assert f"maxmemory {1024**3}" in config
    assert "maxmemory-policy allkeys-lru" in config
    assert "dbfilename dump.rdb" in config


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--prot=1", r"dragonfly\.conf:15: Unknown .* flag 'prot'\. Did you mean 'port'\?"),
        ("--port 7391", r":15: Unknown command line flag 'port 7391'"),
        ("--port", r":15: Missing the value for the flag 'port'"),
        ("port=7391", r":15: Unexpected line in the flagfile: 'port=7391'"),
        ("--cache_mode=maybe", r":15: Illegal value 'maybe' specified for flag 'cache_mode'"),
        ("--maxclients=-1", r":15: Illegal value '-1' .* unsigned"),
        ("--maxmemory=lots", r":15: Illegal value 'lots' .* amount of memory"),
        ("--maxmemory=511mb", r"There are 2 threads, so 0\.50GiB are required\. Exiting"),
        ('--snapshot_cron="* * * * *"', r":15: .* quotes in the flagfile"),
        ("--snapshot_cron=61 * * * *", r":15: .* '61' is outside 0-59"),
        ("--bind=127.0.0.1,::1", r":15: .* is not one address"),
        ("--port=0", r"no unix socket"),
        ("--tls=true", r"tls_key_file"),
        ("--dbfilename=a/b", r"has a /"),
    ],
)
def test_refuses(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(strict.RefusedError, match=message):
        read(tmp_path, f"{GOOD}\n{line}\n")


def test_needs_a_port(tmp_path: Path) -> None:
    with pytest.raises(strict.RefusedError, match="--port is not set"):
        read(tmp_path, "--bind=127.0.0.1\n")


def test_environment_adds_flags_and_yields_to_the_flagfile(tmp_path: Path) -> None:
    environment = {"DFLY_maxclients": "5", "DFLY_maxmemory": "9gb", "DFLY_PASSWORD": "other"}
    flags = read(tmp_path, GOOD, environment)
    assert flags.text("maxclients") == "5"
    assert flags.text("maxmemory") == "1gb"
    assert flags.text("requirepass") == 'se"cret'
    with pytest.raises(strict.RefusedError, match="unknown environment variable DFLY_maxclient"):
        read(tmp_path, GOOD, {"DFLY_maxclient": "5"})


def test_cron() -> None:
    minutes, hours, _, _, weekdays = dragonfly.parse_cron("*/20 1-3,5 * * 7")
    assert minutes == {0, 20, 40}
    assert hours == {1, 2, 3, 5}
    assert weekdays == {0}


def test_metrics_have_the_vendors_names() -> None:
    lines = dragonfly.metrics(INFO).splitlines()
    assert "dragonfly_memory_used_bytes 1000" in lines
    assert 'dragonfly_connected_clients{listener="main"} 10' in lines
    assert 'dragonfly_commands_total{cmd="get"} 14' in lines
    assert 'dragonfly_commands_duration_seconds{cmd="get"} 1.5' in lines
    assert 'dragonfly_db_keys{db="db0"} 16' in lines
