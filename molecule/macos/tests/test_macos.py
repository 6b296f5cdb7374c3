"""What the registry promises of a Mac, and what becomes of it.

The Mac is a simulated one, unless MAC_HOST names a real one; then what belongs to the simulation,
and what would interrupt its user, is left out. No real one was tried yet.
"""

from __future__ import annotations

import functools
import json
import os
import plistlib
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import darwin
import lab
import pytest
import testinfra
from lab import (
    INVENTORY,
    ROOT,
    SERVICES,
    STATE,
    VARIABLES,
    moved,
    plans,
    play,
    port_of,
    shared,
    write,
)
from network import container, engine, pid
from ruamel.yaml import YAML
from seen import Seen, check_bound, check_silent, look
from testinfra.host import Host

UNIT = "collections/ansible_collections/prsnl/ports/tests/unit/plugins/module_utils"
sys.path[:0] = [str(ROOT / "collections"), str(ROOT / UNIT)]

import pfctl  # noqa: E402 - its path comes first
import policies  # noqa: E402

HOST = "mac"
IS_REAL = bool(os.environ.get("MAC_HOST"))
USER = os.environ.get("MAC_USER", os.environ.get("USER", "")) if IS_REAL else "developer"
of_the_simulation = pytest.mark.skipif(IS_REAL, reason="for the simulated Mac only")
LABEL = "prsnl.postgresql"
FIREWALL = "prsnl.ports.firewall"
ENDPOINT = "postgresql.sql"
SQL = port_of(ENDPOINT)
AIRPLAY, OTHER = 5000, 5434
PLANNED = plans()[HOST]
BOUND = [endpoint for endpoint in PLANNED if endpoint["expect"] == "bound"]
SILENT = [endpoint for endpoint in PLANNED if endpoint["expect"] == "silent"]
TRIAL = plistlib.dumps(
    {"Label": "trial", "ProgramArguments": ["/bin/sleep", "9", "9"], "RunAtLoad": True}
).decode()
# Listens as ControlCenter, in the foreground.
CONTROL_CENTER = (
    "cp /usr/bin/python3 /tmp/ControlCenter; /tmp/ControlCenter -c 'import socket, time;"
    f' s = socket.create_server(("", {AIRPLAY})); time.sleep(600)\' > /dev/null 2>&1 & echo $!'
)


def on(host: str, script: str, **options: Any) -> str:
    """Run a shell script as root, as whom nobody connects to a real Mac; it isn't recorded."""
    if IS_REAL:
        return lab.on(host, f"sudo -n sh -c {shlex.quote(script)}", **options)
    return lab.on(host, f"export SIMULATED_FOR_TESTS=1\n{script}", **options)


def name(value: object) -> str | None:
    return value["id"] if isinstance(value, dict) else None


def connect() -> Host:
    options = {"ssh_config": str(STATE / "ssh_config"), "ssh_extra_args": " ".join(shared())}
    return testinfra.get_host(f"ssh://{HOST}", controlpersist=0, **options)


@functools.cache
def seen() -> Seen:
    return look(connect(), "darwin")


def job(label: str = LABEL) -> dict[str, str]:
    """What launchctl says of a job; empty if there is none."""
    printed = on(HOST, f"launchctl print system/{label}", check=False)
    return dict(re.findall(r"^\t([a-z ]+) = ([^{\n]+)$", printed, re.MULTILINE))


def wait_until(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it didn't come about"
        time.sleep(0.5)


def listening(port: int) -> bool:
    return f":{port} (LISTEN)" in on(HOST, "lsof -nP -i", check=False)


def reboot() -> None:
    """Off and on again; what is in /run is gone."""
    engine("restart", "--time", "30", container(HOST))
    pid.cache_clear()
    wait_until(lambda: "services" in on(HOST, "launchctl print system", check=False, anew=True))


# --- what the registry promises, by the same cases as on Linux -----------------------------------


@pytest.mark.parametrize("endpoint", BOUND, ids=name)
def test_an_expected_endpoint_is_bound_by_its_owner(endpoint: dict[str, Any]) -> None:
    check_bound(seen(), endpoint)


@pytest.mark.parametrize("endpoint", SILENT, ids=name)
def test_a_retired_port_is_silent(endpoint: dict[str, Any]) -> None:
    check_silent(seen(), endpoint)


def test_postgresql_runs_from_the_property_list_that_was_made() -> None:
    found = job()
    assert found["path"] == f"/Library/LaunchDaemons/{LABEL}.plist"
    assert found["state"] == "running"
    stat = "stat -f '%Su:%Sg %Lp'" if IS_REAL else "stat -c '%U:%G %a'"
    assert on(HOST, f"{stat} {found['path']}").strip() == "root:wheel 644"
    on(HOST, f"plutil -lint {found['path']}")


def test_it_has_a_cluster_of_its_own_with_checksums_and_that_of_the_formula_is_untouched() -> None:
    control = "/opt/homebrew/opt/postgresql@16/bin/pg_controldata"
    own = on(HOST, f"{control} /var/db/prsnl-postgresql/16 | grep checksum")
    formulas = on(HOST, f"{control} /opt/homebrew/var/postgresql@16 | grep checksum")
    assert own.split()[-1] == "1"
    assert formulas.split()[-1] == "0"


def test_everything_of_the_prefix_belongs_to_its_owner() -> None:
    assert on(HOST, f"find /opt/homebrew ! -user {USER}").strip() == ""


# --- what is refused ------------------------------------------------------------------------------


@of_the_simulation
def test_who_holds_a_port_is_named_with_what_stops_it(tmp_path: Path) -> None:
    """AirPlay Receiver, then PostgreSQL as brew starts it."""
    holder = on(HOST, CONTROL_CENTER).strip()
    registry = write(moved(ENDPOINT, AIRPLAY), tmp_path / "ports.yml")
    try:
        refused = play(playbook="playbooks/preflight.yml", registry=registry)
    finally:
        on(HOST, f"kill {holder}")
    assert refused.code != 0
    assert "AirPlay Receiver (System Settings, General, AirDrop & Handoff)" in refused.output


def test_a_service_of_homebrew_is_named_with_its_formula(tmp_path: Path) -> None:
    brew = f"sudo -u {USER} /opt/homebrew/bin/brew services"
    default = port_of("postgresql.intel")
    on(HOST, f"cd /tmp && {brew} start postgresql@16")
    try:
        wait_until(lambda: listening(default))
        refused = play(playbook="playbooks/preflight.yml")
    finally:
        on(HOST, f"cd /tmp && {brew} stop postgresql@16")
    assert refused.code != 0
    assert f"(brew services stop postgresql@16, as {USER})" in refused.output


# --- what becomes of it ---------------------------------------------------------------------------


def test_a_killed_server_is_started_again() -> None:
    """The server's own process, without a chance to clean up."""
    runs = int(job()["runs"])
    on(HOST, 'kill -9 "$(head -1 /var/db/prsnl-postgresql/16/postmaster.pid)"')
    wait_until(lambda: int(job().get("runs", 0)) > runs and listening(SQL))


def test_a_moved_port_is_told_in_check_mode_and_then_taken(tmp_path: Path) -> None:
    registry = write(moved(ENDPOINT, OTHER), tmp_path / "ports.yml")
    told = play("--tags", "postgresql", "--check", "--diff", playbook=SERVICES, registry=registry)
    assert told.code == 0
    assert told.recap(HOST)["changed"] > 0
    assert f"+port = '{OTHER}'" in told.output
    assert listening(SQL)
    assert not listening(OTHER)
    done = play(registry=registry)
    assert done.code == 0, done.output
    assert listening(OTHER)
    assert not listening(SQL)
    back = play("--tags", "postgresql", playbook=SERVICES)
    assert back.code == 0, back.output
    assert listening(SQL)


def rules() -> pfctl.Ruleset:
    """The anchor's rules as pfctl lists them, with its tables."""
    anchor = "pfctl -a prsnl_ports"
    tables = on(HOST, f"{anchor} -s Tables").split()
    listed = {table: on(HOST, f"{anchor} -t {table} -T show").split() for table in tables}
    lines = [f"table <{table}> const {{ {', '.join(listed[table])} }}" for table in tables]
    return pfctl.parse("\n".join([*lines, on(HOST, f"{anchor} -s rules")]))


@of_the_simulation
def test_rules_are_in_force_after_an_update_of_macos_replaced_what_calls_them() -> None:
    done = play("-e", "firewall_close_all=true", playbook="playbooks/firewall.yml")
    assert done.code == 0, done.output
    stranger = pfctl.Packet("203.0.113.9", "192.0.2.10", "tcp", SQL)
    ssh = pfctl.Packet("203.0.113.9", "192.0.2.10", "tcp", 22)
    assert [rules().verdict(packet) for packet in (stranger, ssh)] == ["block", "pass"]
    on(HOST, "cp /usr/local/simulated/pf.conf /etc/pf.conf")
    reboot()
    wait_until(lambda: 'anchor "prsnl_ports"' in on(HOST, "pfctl -s rules"))
    wait_until(lambda: "Status: Enabled" in on(HOST, "pfctl -s info"))
    assert [rules().verdict(packet) for packet in (stranger, ssh)] == ["block", "pass"]
    log = on(HOST, "cat /var/log/prsnl-ports-firewall.log")
    assert "the rules of the registry are in force" in log.splitlines()[-1]
    wait_until(lambda: listening(SQL))


@of_the_simulation
def test_afterwards_a_run_changes_what_the_update_did_and_the_next_one_nothing() -> None:
    first = play("-e", "firewall_close_all=true")
    assert first.code == 0, first.output
    second = play("-e", "firewall_close_all=true")
    assert second.code == 0, second.output
    assert second.recap(HOST)["changed"] == 0


# --- every command --------------------------------------------------------------------------------


TRANSCRIPT = Path(__file__).with_name("transcript.yml")
# What differs by the run, in one argument each.
VARYING = (
    (r"\.prsnl-[^\"/' ]+", ".prsnl-STAGED"),
    (rf"{SQL}|{OTHER}", "PORT"),
    (r"/usr/local/simulated/python3", "PYTHON"),
    (r"(?s)^(sleep \d+; until PYTHON) .*(; do sleep \d+; done)$", r"\1 SCRIPT\2"),
)
# What tests start as another user, without the environment that says so; a Mac's own are read by
# libproc, so that nobody but tests has lsof.
OF_TESTS = ("/usr/sbin/lsof", "brew services", "gui/501", "launchctl print system'")


def transcript() -> set[tuple[str, ...]]:
    """Every kind of command that was started, and first, as whom."""
    told = set()
    for line in on(HOST, "cat /var/log/simulated/programs").splitlines():
        uid, words = json.loads(line)
        if any(mark in f"{' '.join(words)}'" for mark in OF_TESTS):
            continue
        for pattern, instead in VARYING:
            words = [re.sub(pattern, instead, word) for word in words]
        if words[:3] == ["/usr/bin/dscl", ".", "-create"] and words[-2] == "UniqueID":
            words[-1] = "NUMBER"
        # Python starts a program by its name, which is found in its folder.
        if words[0] == "/usr/bin/defaults":
            words[0] = "defaults"
        told.add(("root" if uid == 0 else "user", *words))
    return told


@of_the_simulation
def test_every_command_is_one_that_was_reviewed() -> None:
    reviewed = YAML(typ="safe").load(TRANSCRIPT)
    assert all(entry["source"] for entry in reviewed)
    assert transcript() == {(entry["as"], *entry["words"]) for entry in reviewed}


def test_no_reviewed_command_is_one_that_must_not_be() -> None:
    for entry in YAML(typ="safe").load(TRANSCRIPT):
        program, *words = entry["words"]
        text = " ".join(entry["words"])
        assert not (entry["as"] == "root" and "brew" in Path(program).name)
        assert "sudo brew" not in text
        assert not ("chown" in text and "/opt/homebrew" in text)
        if Path(program).name == "launchctl":
            assert words[0] in ("bootstrap", "bootout", "kickstart", "print", "print-disabled")


@of_the_simulation
def test_the_legacy_verbs_are_refused() -> None:
    with pytest.raises(AssertionError, match="legacy"):
        on(HOST, f"launchctl load /Library/LaunchDaemons/{LABEL}.plist")


# --- the simulation itself ------------------------------------------------------------------------


def test_malformed_rules_are_refused() -> None:
    check = (
        "import json, subprocess, sys\n"
        "for text in json.load(sys.stdin):\n"
        "    command = ['/sbin/pfctl', '-a', 'trial', '-n', '-f', '-']\n"
        "    done = subprocess.run(command, input=text, capture_output=True, text=True)\n"
        "    print(done.returncode)\n"
    )
    on(HOST, "cat > /tmp/check.py", stdin=check)
    given = json.dumps(list(policies.MALFORMED.values()))
    answers = on(HOST, "/usr/bin/python3 /tmp/check.py", stdin=given).split()
    assert len(answers) >= 20
    assert set(answers) == {"1"}


@pytest.mark.parametrize(
    "change",
    [
        "chmod g+w $p",
        "chown developer $p",
        "sed -i 's/RunAtLoad/RunAtLaod/' $p",
        "sed -i 's/<dict>/<dcit>/' $p",
        "sed -i '/ProgramArguments/,+6d' $p",
    ],
)
def test_a_definition_that_launchd_refuses_is_refused(change: str) -> None:
    path = "/Library/LaunchDaemons/trial.plist"
    on(HOST, f"cat > {path}; chmod 644 {path}; export p={path}; {change}", stdin=TRIAL)
    refused = on(HOST, f"launchctl bootstrap system {path} 2>&1; echo $?; rm {path}")
    assert "Bootstrap failed: 5: Input/output error" in refused
    assert refused.splitlines()[-1] == "5"


def test_the_real_code_on_the_simulated_libproc_sees_what_lsof_sees() -> None:
    """Two witnesses: libproc's structures, and ss behind the simulated lsof."""
    sources = [word for source in INVENTORY for word in ("-i", source)]
    command = [
        "ansible",
        HOST,
        *sources,
        *VARIABLES,
        "-b",
        "-m",
        "prsnl.ports.listening_ports_info",
    ]
    settings = {
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    }
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"][HOST]["listeners"]
    libproc = {(s["protocol"], s["port"], tuple(s["pids"])) for s in told}
    lsof: dict[tuple[str, int], set[int]] = {}
    for entry in darwin.listeners(connect()):
        protocol, _slashes, address = entry.url.partition("://")
        lsof.setdefault((protocol, int(address.rpartition(":")[2])), set()).add(entry.pid)
    assert libproc == {(*key, tuple(sorted(pids))) for key, pids in lsof.items()}
    (server,) = [s for s in told if s["port"] == SQL]
    assert (server["process"], server["user"]) == ("postgres", "_postgres")
    assert server["label"] == LABEL
