"""On hosts that have nothing yet, check mode tells what it would do, and does nothing."""

from __future__ import annotations

from lab import STATE, on, on_all, plans, play

# What was written, installed, started or opened. One command for each host.
EVERYTHING = r"""
find /etc /opt /usr/bin /usr/lib/systemd /usr/local /usr/sbin /var/lib -xdev \
    -printf '%p %m %U:%G %s %T@ %l\n'
dpkg --get-selections
ss -Hlntu
if command -v nft > /dev/null; then nft list ruleset; fi
"""


def everything(host: str) -> set[str]:
    return set(on(host, EVERYTHING).splitlines())


def test_check_mode_names_every_change_and_makes_none() -> None:
    keys = sorted(STATE.rglob("*"))
    before = on_all(everything)
    run = play("--check", "--diff")
    after = on_all(everything)

    assert run.code == 0, run.output
    for host, plan in plans().items():
        assert run.recap(host)["failed"] == 0
        assert before[host] ^ after[host] == set()
        bound = [endpoint for endpoint in plan if endpoint["expect"] == "bound"]
        units = {unit for endpoint in bound for unit in endpoint["owner"]["unit"]}
        # The cluster's unit comes with its package.
        units.discard("postgresql@16-main.service")
        assert [unit for unit in units if f"{unit}: " not in run.output] == []
    assert "install postgresql-16" in run.output
    assert sorted(STATE.rglob("*")) == keys
