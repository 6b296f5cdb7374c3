"""site.yml is killed again and again on fresh hosts, and ends as if nothing had happened.

Every kill ends the run on the controller with all that it has started, at a random moment: after a
random time, while packages install, while the firewall changes, or while its new rules wait for
their confirmation; and half of the others come after what just worked on a host was killed there.
CHAOS_KILLS says how many there are, SEED repeats them.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import threading
import time

import pytest
from lab import ROOT, Run, kill_family, on, on_all, plans, play

KILLS = int(os.environ.get("CHAOS_KILLS", "3"))
SEED = int(os.environ.get("SEED") or random.randrange(1 << 32))  # noqa: S311
# Seconds. A run that nobody has cut off takes about twice as long.
SPAN = 90.0
# What a run prints before the moments that matter most, and how long these take.
MOMENTS = {
    "installing": (re.compile(r": installing "), 15.0),
    "firewall": (re.compile(r"^TASK \[prsnl\.ports\.firewall : "), 8.0),
    "any time": (re.compile(r"^PLAY "), SPAN),
}
CONFIRMATION = "confirmation"
# For a minute at most, which is longer than it takes until then.
WAITS = r"""
for _ in $(seq 3000); do
    ! ls /run/prsnl-ports/undo/firewall-*/pending.json > /dev/null 2>&1 || exit 0
    sleep 0.02
done
exit 1
"""
# Kills one of the processes by which Ansible, APT or a role works on a host as root.
KILL_WORK = r"""
work='AnsiballZ[_]|/usr/bin/apt-ge[t]|/usr/bin/dpk[g]|pg_createcluste[r]|/usr/sbin/nf[t]'
pid=$(pgrep -f "$work" | shuf -n 1)
[ -z "$pid" ] || kill -9 "$pid"
"""
LEFTOVERS = r"""
exec 2>/dev/null
find / -xdev -name '.prsnl-ports-*' -o -name '.prsnl-unfinished-*' -o -name '*.unfinished'
find /run/prsnl-ports -name '.prsnl-ports-*' -o -name 'check-*'
find /var/lib/prsnl-ports/undo /run/prsnl-ports/undo -mindepth 1
ls /usr/sbin/policy-rc.d /var/lib/prsnl-ports/policy-rc.d
systemctl list-units --all --plain --no-legend 'prsnl-*.timer' | grep -v '^prsnl-ports-exporter'
dpkg --audit
cat /run/prsnl-ports/lock
true
"""
# Whatever runs is what is on the disk: programs, definitions of units, and what was rendered.
STALE = r"""
exec 2>/dev/null
for link in /proc/[0-9]*/exe; do readlink "$link"; done | grep -F '(deleted)'
systemctl show --property=Id,NeedDaemonReload '*.service' '*.timer' '*.socket' |
    grep -B1 'Reload=yes'
systemctl --failed --plain --no-legend
grep -l '"applied": false' /var/lib/prsnl-ports/*.json
true
"""


class Site:
    """A run of site.yml that is going to be killed."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            ["ansible-playbook", "site.yml", "-i", "inventories/lab", *arguments],
            cwd=ROOT,
            env=os.environ
            | {
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_FORCE_COLOR": "0",
                "ANSIBLE_NOCOLOR": "1",
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.last = ""
        self._seen = {name: threading.Event() for name in MOMENTS}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("TASK ["):
                self.last = line.strip(" *\n")
            for name, (pattern, _length) in MOMENTS.items():
                if pattern.search(line):
                    self._seen[name].set()

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self, moment: str, seconds: float) -> None:
        """Wait for a moment, and then for so many seconds, unless the run ends before."""
        end = time.monotonic() + SPAN
        while not (self._seen[moment].is_set() or self.has_ended or time.monotonic() > end):
            time.sleep(0.1)
        end = time.monotonic() + seconds
        while not self.has_ended and time.monotonic() < end:
            time.sleep(0.05)

    def kill(self) -> None:
        """End it and everything that it has started on the controller."""
        kill_family(self._process.pid)
        self._process.wait()


def succeed() -> Run:
    run = play()
    assert run.code == 0, run.output
    return run


def fresh() -> None:
    """Make the hosts anew: on those that have everything, a run has nothing to be killed at."""
    for name in ("down", "up"):
        run = play(playbook=f"molecule/lab/{name}.yml")
        assert run.code == 0, run.output
    for cached in (on, plans):
        getattr(cached, "cache_clear", lambda: None)()


def judge() -> None:
    """Let a run end, and look for what killed ones have left."""
    succeed()
    quiet = succeed()
    changed = {host: quiet.recap(host)["changed"] for host in plans()}
    assert changed == dict.fromkeys(plans(), 0), quiet.output
    assert on_all(lambda host: on(host, LEFTOVERS).strip()) == dict.fromkeys(plans(), "")
    assert on_all(lambda host: on(host, STALE).strip()) == dict.fromkeys(plans(), "")


def kill_before_confirmation(host: str) -> list[str]:
    """Kill a run that changes the rules when those of a host wait; returns all whose rules do."""
    site = Site("--extra-vars", "firewall_refuse=drop")
    on(host, WAITS, check=False)
    site.kill()
    look = WAITS.replace("3000", "1")
    waits = on_all(lambda one: bool(on(one, f"({look}) && echo yes", check=False)))
    return [name for name, is_waiting in waits.items() if is_waiting]


def test_killed_runs_leave_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """A run that ends before its kill doesn't count; after it come other fresh hosts."""

    def tell(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)

    rng = random.Random(SEED)  # noqa: S311 - a seed repeats it
    tell(f"\nSEED={SEED} CHAOS_KILLS={KILLS}")
    killed = tried = 0
    moments = [*MOMENTS, CONFIRMATION]
    while killed < KILLS:
        moment = moments[tried % len(moments)]
        tried += 1
        if moment == CONFIRMATION:
            host = rng.choice(sorted(plans()))
            hosts = kill_before_confirmation(host)
            assert hosts, f"the rules of {host} didn't wait when the run was killed"
            killed += 1
            tell(f"{killed:2} while the rules of {', '.join(hosts)} wait for their confirmation")
            continue
        seconds = rng.uniform(0, MOMENTS[moment][1])
        host = rng.choice(sorted(plans())) if rng.random() < 0.5 else ""
        rest = rng.uniform(0, 5)
        site = Site()
        site.wait(moment, seconds)
        if host:
            on(host, KILL_WORK, check=False)
            site.wait(moment, rest)
        has_ended = site.has_ended
        site.kill()
        if has_ended:
            tell("   it had ended; the hosts are judged, and made anew")
            judge()
            fresh()
            continue
        killed += 1
        tell(
            f"{killed:2} {seconds:5.1f} s after '{moment}', in {site.last}"
            + (f", {rest:.1f} s after what worked on {host}" if host else "")
        )
    judge()
