# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role against a real PostgreSQL and systemd, on the lab's host `data`.

They take half an hour, so they aren't a part of `make test`. With the lab up and provisioned:

    .venv/bin/python -m pytest -q roles/postgresql/tests/lab

`TRIALS` (20) is how often a run is killed, `SEED` repeats the moments of a run that printed it.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import shlex
import threading
import time
from collections.abc import Iterator

import pytest
from lab import REGISTRY, ROOT, SERVICES, Run, moved, on, play, port_of, write

PORT = port_of("postgresql.sql")
OTHER = PORT + 2
UNIT = "postgresql@16-main.service"
WORDS = ("--limit", "data", "--tags", "postgresql")
TRIALS = int(os.environ.get("TRIALS", "20"))
SEED = int(os.environ.get("SEED", str(time.time_ns() % 1_000_000)))

# Packages stay. Whoever was started by a run that was killed may still be at work.
RESET = f"""
systemctl stop {UNIT} 2>/dev/null
pg_ctlcluster --skip-systemctl-redirect -m immediate 16 main stop 2>/dev/null
while pgrep -u postgres >/dev/null; do sleep 0.2; done
rm -rf /etc/postgresql/16 /etc/postgresql/.prsnl-* /var/lib/postgresql/16 /var/log/postgresql/*
rm -rf /etc/prsnl-ports/postgresql /var/lib/prsnl-ports/postgresql* /var/lib/prsnl-ports/undo
rm -rf /etc/systemd/system/{UNIT}.d /etc/systemd/system/multi-user.target.wants/{UNIT}
systemctl daemon-reload
systemctl reset-failed
"""
# Waits until the module has the host's lock, and a while longer, and kills it. Its argument are
# seconds, and whether what it has started dies as well, as in a container that is gone.
KILLER = """
import json, os, signal, sys, time

def holder():
    try:
        with open("/run/prsnl-ports/lock") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return 0
    return found["process"] if "Create, configure" in found["changer"]["task"] else 0

def children(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found += [int(name), *children(int(name))]
    return found

end = time.monotonic() + 240
while not (pid := holder()):
    if time.monotonic() > end:
        sys.exit("no change began")
    time.sleep(0.005)
time.sleep(float(sys.argv[1]))
if holder() != pid:
    sys.exit("too late")
for victim in [pid] + (children(pid) if sys.argv[2] == "all" else []):
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        pass
print("killed")
"""
LEFTOVERS = r"""
find /etc/postgresql /var/lib/postgresql /etc/prsnl-ports /var/lib/prsnl-ports -name '.prsnl-*'
find /var/lib/prsnl-ports -name '*.unfinished'
find /var/lib/prsnl-ports/undo -mindepth 1
"""


def provision(*words: str, registry: pathlib.Path = REGISTRY) -> Run:
    return play(*WORDS, *words, playbook=SERVICES, registry=registry)


def sql(question: str, port: int = PORT) -> str:
    """What a superuser is answered on the host."""
    psql = f"runuser -u postgres -- psql -h /run/postgresql -p {port} -XAtc {shlex.quote(question)}"
    return on("data", f"cd /; {psql}").strip()


def keep(text: str) -> None:
    """Let the cluster have data."""
    row = f"insert into kept values ('{text}')"  # noqa: S608 - our own text
    sql(f"create table if not exists kept (t text); {row}")


def assert_converged(port: int = PORT, registry: pathlib.Path = REGISTRY) -> None:
    """A further run changes nothing, and all is as it should be."""
    again = provision(registry=registry)
    assert again.code == 0, again.output
    assert again.recap("data")["changed"] == 0, again.output
    assert sql("show port", port) == str(port)
    assert sql("show hba_file", port) == "/etc/prsnl-ports/postgresql/16-main/pg_hba.conf"
    assert sql("show data_checksums", port) == "on"
    assert sql("select count(*) from pg_settings where pending_restart", port) == "0"
    assert on("data", f"systemctl is-active {UNIT}; systemctl is-enabled {UNIT}").split() == [
        "active",
        "enabled",
    ]
    assert on("data", LEFTOVERS, check=False) == ""


@pytest.fixture
def absent() -> None:
    on("data", RESET, check=False)


@pytest.fixture
def converged() -> Iterator[None]:
    run = provision()
    assert run.code == 0, run.output
    yield
    on("data", f"systemctl reset-failed {UNIT}", check=False)


@pytest.fixture
def elsewhere(tmp_path: pathlib.Path) -> pathlib.Path:
    """A registry with another port for PostgreSQL."""
    return write(moved("postgresql.sql", OTHER), tmp_path / "ports.yml")


def executions(output: str) -> int:
    (line,) = (
        line for line in output.splitlines() if line.startswith("EXECUTIONS data postgresql")
    )
    return int(line.split()[-1])


@pytest.mark.usefixtures("absent")
def test_a_fresh_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", str(ROOT / "benchmarks" / "callback"))
    monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "executions")
    run = provision("--check", "--diff")
    assert run.code == 0, run.output
    assert f"{UNIT}: create the cluster 16/main, start and enable" in run.output
    assert on("data", "ls -A /var/lib/postgresql") == ""
    run = provision()
    assert run.code == 0, run.output
    print("first run:", executions(run.output), "remote executions")
    again = provision()
    assert again.recap("data")["changed"] == 0
    print("no-op:", executions(again.output), "remote executions")
    assert executions(again.output) <= 3
    assert_converged()


@pytest.mark.usefixtures("converged")
def test_a_moved_port(elsewhere: pathlib.Path) -> None:
    keep("before")
    run = provision("--check", "--diff", registry=elsewhere)
    assert "restart for port" in run.output
    assert f"+port = '{OTHER}'" in run.output
    assert sql("show port") == str(PORT)
    run = provision(registry=elsewhere)
    assert run.code == 0, run.output
    assert_converged(OTHER, elsewhere)
    assert "before" in sql("select * from kept", OTHER)
    assert f":{PORT} " not in on("data", "ss -Hltn")
    assert provision().code == 0
    assert_converged()


SETTINGS = {
    "misspelt": ({"shared_bufers": "64MB"}, "unrecognized configuration parameter", "Nothing has"),
    "wrong unit": ({"work_mem": "9 parsecs"}, "invalid value for parameter", "Nothing has changed"),
    "too big": ({"shared_buffers": "900GB"}, "The last lines of its journal", "runs with them"),
    "no library": (
        {"shared_preload_libraries": "nonesuch"},
        'could not access file "nonesuch"',
        "The former files are back, and postgresql@16-main.service runs with them again",
    ),
}


@pytest.mark.usefixtures("converged")
@pytest.mark.parametrize("case", SETTINGS)
def test_a_broken_setting(case: str) -> None:
    settings, said, state = SETTINGS[case]
    started = sql("select pg_postmaster_start_time()")
    files = "sha256sum /etc/prsnl-ports/postgresql/16-main/* /var/lib/prsnl-ports/postgresql*"
    before = on("data", files)
    run = provision("-e", json.dumps({"postgresql_settings": settings}))
    assert run.code != 0
    assert said in run.failure("data"), run.output
    assert state in run.failure("data"), run.output
    assert on("data", files) == before
    if state.startswith("Nothing"):
        assert sql("select pg_postmaster_start_time()") == started
    assert_converged()


@pytest.mark.usefixtures("converged")
def test_a_port_that_alter_system_sets() -> None:
    sql("alter system set port = 5999")
    try:
        run = provision()
        assert "port is set in /var/lib/postgresql/16/main/postgresql.auto.conf" in run.failure(
            "data"
        )
        assert run.recap("data")["changed"] == 0
    finally:
        sql("alter system reset port")
    assert_converged()


def test_rules_that_keep_us_out(converged: None) -> None:
    hba = "/etc/prsnl-ports/postgresql/16-main/pg_hba.conf"
    on("data", f"echo 'local all all reject' > {hba}; systemctl reload {UNIT}; sleep 1")
    assert provision().code == 0
    assert_converged()


def test_a_server_that_was_started_by_hand(converged: None) -> None:
    by_hand = "setpriv --reuid=postgres --regid=postgres --init-groups pg_ctlcluster 16 main start"
    on("data", f"systemctl stop {UNIT}; {by_hand}")
    run = provision()
    assert f"but not as {UNIT}: somebody started it by hand" in run.failure("data")
    on("data", "pg_ctlcluster --skip-systemctl-redirect 16 main stop")
    assert provision().code == 0
    assert_converged()


# --- killed ---------------------------------------------------------------------------------------


def kill_a_run(seconds: float, whom: str, registry: pathlib.Path = REGISTRY) -> str:
    """Provision, and kill the module so many seconds after it began to change the host."""
    said: list[str] = []

    def kill() -> None:
        words = f"{shlex.quote(KILLER)} {seconds} {whom}"
        said.append(on("data", f"python3 -c {words} 2>&1", check=False).strip())

    killer = threading.Thread(target=kill)
    killer.start()
    run = provision(registry=registry)
    killer.join()
    return f"{said[0]}, run ended with {run.code}"


def test_runs_that_are_killed(elsewhere: pathlib.Path) -> None:
    """Every other one while it makes the cluster, the rest while it moves the port."""
    print(f"SEED={SEED}")
    dice = random.Random(SEED)  # noqa: S311 - no secret
    killed = 0
    for trial in range(TRIALS):
        whom = dice.choice(["module", "all"])
        if trial % 2 == 0:
            on("data", RESET, check=False)
            port, registry, longest = PORT, REGISTRY, 9.0
        else:
            keep(str(trial))
            port, registry, longest = OTHER, elsewhere, 4.0
        moment = dice.uniform(0, longest)
        told = kill_a_run(moment, whom, registry)
        killed += "killed" in told
        state = on("data", LEFTOVERS + "cat /var/lib/prsnl-ports/*.unfinished", check=False)
        what = "move" if trial % 2 else "create"
        print(f"{trial}: {what} {moment:.2f} s {whom}: {told}: {state.split()}")
        run = provision(registry=registry)
        assert run.code == 0, run.output
        assert_converged(port, registry)
        if trial % 2:
            assert str(trial) in sql("select t from kept", port).split()
            assert provision().code == 0
    assert killed > TRIALS / 2


# --- somebody's -----------------------------------------------------------------------------------

RESTORED = "/var/lib/postgresql/16/main"


def cut_off_creation() -> None:
    on("data", RESET, check=False)
    for _attempt in range(5):
        if "killed" in kill_a_run(0.7, "all"):
            break
    assert "unfinished" in on("data", LEFTOVERS)


def test_what_a_dba_restored_into_a_half_made_cluster_stays() -> None:
    cut_off_creation()
    # Without its configuration yet, and never started.
    on(
        "data",
        f"""
        install -d -o postgres -g postgres -m 0700 {RESTORED}
        cd {RESTORED} || exit
        runuser -u postgres -- /usr/lib/postgresql/16/bin/initdb -D /tmp/backup >/dev/null
        runuser -u postgres -- cp -a /tmp/backup/. {RESTORED}/
        echo customers > {RESTORED}/note
        rm -r /tmp/backup
        """,
    )
    run = provision()
    assert "found data in /var/lib/postgresql/16/main" in run.failure("data")
    assert on("data", f"cat {RESTORED}/note") == "customers\n"
    # With it, the cluster is theirs, and is used.
    on(
        "data",
        f"""
        rm -r {RESTORED}/.prsnl-* /etc/postgresql/.prsnl-* 2>/dev/null
        pg_createcluster --port {PORT} --pgoption add_include_dir=conf.d 16 main
        """,
    )
    run = provision()
    assert run.code == 0, run.output
    assert on("data", f"cat {RESTORED}/note") == "customers\n"
    assert sql("show port") == str(PORT)
    assert on("data", LEFTOVERS, check=False) == ""
    on("data", RESET, check=False)


def test_a_half_made_cluster_that_somebody_runs_stays() -> None:
    cut_off_creation()
    staged = on("data", f"ls -d {RESTORED}/.prsnl-*").strip()
    on("data", f"runuser -u postgres -- touch {staged}/postmaster.opts")
    run = provision()
    assert "may be somebody's" in run.failure("data")
    assert "a server has run there" in run.failure("data")
    assert on("data", f"ls {staged}/postmaster.opts").strip() == f"{staged}/postmaster.opts"
    on("data", RESET, check=False)


# --- attacked -------------------------------------------------------------------------------------

FOLDER = "/etc/postgresql/16/main"
EVIL = r"data_directory = '/x\\nExecStartPre=+/bin/touch /pwned'"
LINKS = {
    "rules": f"rm {FOLDER}/pg_hba.conf; ln -s /etc/shadow {FOLDER}/pg_hba.conf",
    "settings": f"rm {FOLDER}/conf.d/*; ln -s /etc/shadow {FOLDER}/conf.d/90-prsnl-ports.conf",
    "folder": f"rm -r {FOLDER}/conf.d; ln -s /root {FOLDER}/conf.d",
    "former": f"ln -s /etc/shadow {FOLDER}/conf.d/90-ansible.conf",
    "unit": f'sed -i "s|^data_directory.*|{EVIL}|" {FOLDER}/postgresql.conf',
}


@pytest.mark.usefixtures("converged")
@pytest.mark.parametrize("case", LINKS)
def test_links_of_the_servers_user_lead_nowhere(case: str) -> None:
    on("data", "echo 'root:canary:1::::::' >> /etc/shadow; cp -a /etc/shadow /root/shadow")
    on("data", f"cp -a {FOLDER} /root/main")
    secret = "stat -c '%U:%G %a' /etc/shadow; sha256sum /etc/shadow; ls -A /root; ls -d /pwned"
    before = on("data", secret, check=False)
    try:
        on("data", f"runuser -u postgres -- sh -c {shlex.quote(LINKS[case])}")
        run = provision("--diff", "-e", '{"postgresql_settings": {"work_mem": "5MB"}}')
        print(run.failure("data") if run.code else f"{case}: converged")
        assert "canary" not in run.output
        assert on("data", secret, check=False) == before
    finally:
        on("data", f"rm -rf {FOLDER}; mv /root/main {FOLDER}; sed -i /canary/d /etc/shadow")
        on("data", "rm -f /root/shadow")
    assert provision().code == 0
    assert_converged()
