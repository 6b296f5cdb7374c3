"""PostgreSQL moves while clients work, and whatever fails on the way, it is there afterwards.

MOVES=all breaks a move in every way that is known here, else in a few.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab import REGISTRY, on
from moving import (
    NEW,
    OLD,
    Moving,
    Workload,
    answers,
    before,
    move,
    port_now,
    run,
    step,
    wait_until,
    works,
)
from network import container, engine

# A server restarts within this many seconds on a machine that has little else to do.
PATIENCE = float(os.environ.get("MOVES_PATIENCE", "30"))
# Gets the move, the port that was and the one to come.
Act = Callable[[Moving, int, int], object]


@pytest.fixture(scope="module")
def past() -> Path:
    """The registry of the time before the move, and hosts as it wants them."""
    registry = before()
    done = run("site.yml", registry=registry)
    assert done.code == 0, done.output
    return registry


def test_clients_lose_nothing_but_their_connection(
    past: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert port_now() == OLD
    plan = move("--check", registry=REGISTRY)
    assert plan.code == 0, plan.output
    assert "postgresql.sql moves from 5432 to 5433." in plan.output
    assert "4. switch" in plan.output
    assert [plan.recap(host)["changed"] for host in ("app", "data")] == [0, 0]
    assert port_now() == OLD

    clients = Workload(f"{OLD},{NEW}", 900)
    done = move(registry=REGISTRY)
    clients.end()
    assert done.code == 0, done.output
    assert "Done: postgresql.sql moves from 5432 to 5433." in done.output
    assert port_now() == NEW
    assert works()

    acknowledged = {event["value"] for event in clients.of("writer", "ack")}
    psql = f"runuser -u postgres -- psql -h /var/run/postgresql -p {NEW} prsnl -XAtc"
    rows = on("data", f"{psql} 'table moved'")
    assert acknowledged
    assert acknowledged - {int(row.partition("|")[2]) for row in rows.split()} == set()
    lost = {name: len(clients.of(name, "lost")) for name in ("writer", "reader")}
    gap = max(clients.longest_gap(name) for name in ("writer", "reader"))
    with capsys.disabled():
        refused = {name: len(clients.of(name, "refused")) for name in lost}
        print(
            f"\nmoved: {len(acknowledged)} commits acknowledged, none lost; longest time without an"
            f" answer {gap:.2f} s; connections lost {lost}, attempts refused {refused}"
        )
    # One in the switch, and one when what leads from the old port ends.
    assert max(lost.values()) <= 2, clients.of("writer", "lost")
    assert gap < PATIENCE

    for host in ("app", "data", "outsider"):
        assert not answers(host, OLD)
    assert answers("app", NEW)
    assert not answers("outsider", NEW)
    drift = run("playbooks/drift.yml", registry=REGISTRY)
    assert drift.code == 0, drift.output
    again = move(registry=REGISTRY)
    assert again.code == 0, again.output
    assert "is on 5433 everywhere" in again.output


@dataclass(frozen=True)
class Failure:
    """What makes a move fail at a text that it prints."""

    name: str
    at: str
    act: Act
    mend: Callable[[], object] = lambda: None
    # In every run of the tests.
    often: bool = False
    # Whether the run that fails leaves the port that was, rather than either.
    back: bool = True


def at(host: str, script: str) -> Act:
    def act(_move: Moving, source: int, target: int) -> None:
        on(host, script.replace("SOURCE", str(source)).replace("TARGET", str(target)), anew=True)

    return act


def mend(host: str, script: str) -> Callable[[], object]:
    return lambda: on(host, script, check=False, anew=True)


def listen(port: str) -> str:
    """A stranger takes a port, in a unit that `STRANGER_GOES` ends."""
    code = f"import socket,time; s=socket.create_server(('',{port})); time.sleep(9999)"
    return (
        "systemctl stop stranger 2>/dev/null; systemctl reset-failed stranger 2>/dev/null;"
        " systemd-run --unit stranger -p Restart=on-failure -p RestartSec=100ms"
        f' python3 -c "{code}"'
    )


STRANGER_GOES = "systemctl stop stranger; systemctl reset-failed stranger"
BLIND = (
    "nft add table inet blind;"
    " nft add chain inet blind o '{ type filter hook output priority 0; }';"
    " nft add rule inet blind o tcp dport TARGET reject"
)
SEES = "nft delete table inet blind"
UNIT = "/etc/systemd/system/prsnl-move-postgresql-sql.socket"


def kill(move: Moving, _source: int, _target: int) -> None:
    move.kill()


def reboot(_move: Moving, _source: int, _target: int) -> None:
    engine("restart", "--time=0", container("data"))
    waiting = "systemctl is-system-running --wait"
    wait_until(
        lambda: on("data", waiting, check=False, anew=True).strip() in ("running", "degraded"),
        120,
        "the host runs",
    )


FAILURES = [
    Failure(
        "a stranger has the new port",
        r"^PLAY \[Find",
        at("data", listen("TARGET")),
        mend("data", STRANGER_GOES),
    ),
    Failure(
        "no nft",
        step("open"),
        at("data", "mv /usr/sbin/nft /usr/sbin/nft.away"),
        mend("data", "mv /usr/sbin/nft.away /usr/sbin/nft"),
    ),
    Failure(
        "no place for a unit",
        step("lead"),
        at("data", f"mkdir -p {UNIT}/x"),
        mend("data", f"rm -rf {UNIT}"),
    ),
    Failure(
        "a stranger comes before the switch",
        step("switch"),
        at("data", listen("TARGET")),
        mend("data", STRANGER_GOES),
    ),
    Failure(
        "the application's host is lost for a while",
        step("repoint"),
        at(
            "app",
            "systemd-run --on-active=45 systemctl start ssh;"
            # What says so ends with it.
            " systemd-run sh -c 'sleep 1; systemctl stop ssh; systemctl kill session-*.scope;"
            ' pkill -f "sshd:.*root"\'',
        ),
    ),
    Failure("clients don't reach it", step("reach"), at("app", BLIND), mend("app", SEES)),
    Failure(
        "the old port still answers",
        step("silent"),
        at("data", listen("SOURCE")),
        mend("data", STRANGER_GOES),
        back=False,
    ),
    Failure("killed before the switch", step("lead"), kill, back=False),
    Failure(
        "killed in the switch",
        r"TASK \[postgresql : Create, configure",
        kill,
        often=True,
        back=False,
    ),
    Failure("killed while others are repointed", step("repoint"), kill, back=False),
    Failure("killed while the old port is closed", step("close"), kill, back=False),
    Failure("the host reboots in the middle", step("repoint"), reboot, back=False),
]


@contextlib.contextmanager
def mended(failure: Failure) -> Iterator[None]:
    try:
        yield
    finally:
        failure.mend()


@pytest.mark.parametrize(
    "failure",
    [f for f in FAILURES if f.often or os.environ.get("MOVES") == "all"],
    ids=lambda failure: failure.name,
)
def test_what_fails_leaves_a_working_system(failure: Failure, past: Path) -> None:
    source = port_now()
    target = NEW if source == OLD else OLD
    registry = REGISTRY if target == NEW else past

    with mended(failure):
        moving = Moving(registry, failure.at, lambda run: failure.act(run, source, target))
        assert moving.acted, moving.output
    wait_until(works, 60, f"the system works again: {moving.output}")
    if failure.back:
        assert moving.code != 0, moving.output
        assert port_now() == source, moving.output
    rerun = move(registry=registry)
    assert rerun.code == 0, rerun.output
    assert port_now() == target
    assert works()
    assert not answers("app", source)
    assert not answers("data", source)
