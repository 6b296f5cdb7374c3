"""Every unit of the stack under a real kernel's sandbox: its score, and what it can still do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from lab import on

HOSTS = ("app", "data", "ops")
SCORES = yaml.safe_load(Path(__file__).with_name("scores.yml").read_text(encoding="utf-8"))
# Units with a drop-in of their role, and those that roles write themselves.
UNITS = r"""
cd /etc/systemd/system || exit
for unit in *.service.d/hardening.conf; do echo "${unit%.d/*}"; done
for unit in prsnl*.service prsnl*.timer cadvisor.service; do [ ! -f "$unit" ] || echo "$unit"; done
"""
SCORE = r"Overall exposure level for (\S+): ([\d.]+)"


def units(host: str) -> list[str]:
    return sorted({line for line in on(host, UNITS).split() if "*" not in line})


@pytest.mark.parametrize("host", HOSTS)
def test_no_unit_is_more_exposed_than_written_down(host: str) -> None:
    services = [unit for unit in units(host) if unit.endswith(".service")]
    told = on(host, f"systemd-analyze security --no-pager {' '.join(services)} 2>&1", check=False)
    lines = [
        on(host, f"systemd-analyze security --no-pager '{unit}' | tail -1") for unit in services
    ]
    found = {match[1]: float(match[2]) for line in lines if (match := re.search(SCORE, line))}
    assert set(found) == set(services), told
    print(f"\n{host}: " + ", ".join(f"{unit} {score}" for unit, score in sorted(found.items())))
    unknown = sorted(set(found) - set(SCORES))
    assert unknown == [], "scores.yml needs an entry with a reason"
    worse = {u: (s, SCORES[u]["score"]) for u, s in found.items() if s > SCORES[u]["score"]}
    assert worse == {}, "more exposed (found, allowed)"


def test_each_score_has_a_reason() -> None:
    for unit, entry in SCORES.items():
        assert set(entry) == {"score", "why"}, unit
        assert len(entry["why"].split()) >= 4, unit


@pytest.mark.parametrize("host", HOSTS)
def test_systemd_has_nothing_to_say_about_a_unit(host: str) -> None:
    told = on(host, f"systemd-analyze verify {' '.join(units(host))} 2>&1", check=False)
    # Other units' flaws are told, too.
    ours = [line for line in told.splitlines() if any(unit in line for unit in units(host))]
    # man-db isn't on a minimal host.
    assert [line for line in ours if "Command 'man" not in line] == []


def confined(host: str, unit: str, program: str, **other: str) -> str:
    """What a Python program prints as the unit's user, with the options of the unit's drop-in.

    `other` ones replace those of the same name.
    """
    text = on(host, f"cat /etc/systemd/system/{unit}.d/hardening.conf")
    options = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)) | other
    options["User"] = on(host, f"systemctl show --property User --value {unit}").strip()
    words = " ".join(f"--property='{name}={value}'" for name, value in options.items())
    command = f"systemd-run --quiet --wait --pipe {words} python3 - 2>&1"
    return on(host, command, stdin=program, check=False)


FILTER = """
import sys
sys.path.insert(0, "/usr/lib/elasticsearch")
from standin import sandbox
sandbox.install()
print("filtered")
"""


@pytest.mark.parametrize("host", ["app", "ops"])
def test_elasticsearch_may_filter_its_own_system_calls(host: str) -> None:
    assert confined(host, "elasticsearch.service", FILTER).strip() == "filtered"
    told = confined(host, "elasticsearch.service", FILTER, SystemCallFilter="@system-service")
    if host == "app":
        # That alone is what the product doesn't start with, in systemd 252.
        assert "seccomp(BOGUS_OPERATION): Operation not permitted" in told
    assert "unable to install" not in on(host, "journalctl -u elasticsearch -o cat --no-pager")
    # One more than systemd's own.
    assert filters(host, "elasticsearch") > filters(host, "kibana") > 1


def filters(host: str, unit: str) -> int:
    """How many filters of system calls the unit's process has."""
    status = f"/proc/$(systemctl show --property MainPID --value {unit})/status"
    return int(on(host, f"sed -n 's/^Seccomp_filters:\\s*//p' {status}"))


# What Chromium's sandbox does: a user namespace with others in it, and a root that is empty.
CHROMIUM = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
made = libc.unshare({flags})
print(made or libc.chroot(b"/proc/self/fdinfo"), ctypes.get_errno())
"""
# linux/sched.h
USER, PROCESSES, NETWORK, MOUNTS = 0x10000000, 0x20000000, 0x40000000, 0x00020000
NAMESPACES = USER | PROCESSES | NETWORK


@pytest.mark.parametrize("host", ["app", "ops"])
def test_kibanas_chromium_may_have_its_sandbox(host: str) -> None:
    def told(flags: int, **other: str) -> list[str]:
        return confined(host, "kibana.service", CHROMIUM.format(flags=flags), **other).split()

    assert told(NAMESPACES) == ["0", "0"]
    assert told(NAMESPACES, RestrictNamespaces="true") == ["-1", "1"]
    # Nothing else than that.
    assert told(NAMESPACES | MOUNTS) == ["-1", "1"]
