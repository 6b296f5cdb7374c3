# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for pf, one by one, and the calls of pfctl in a simulation of a Mac.

The simulation knows the main ruleset, the anchor and the references to pf, as far as the calls need
them. That a real pf takes the rules was not tried.
"""

from __future__ import annotations

import pathlib
import plistlib
import re
import subprocess
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.firewall import pf as firewall_darwin
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.change import (
    Firewall,
    FirewallError,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.pf import Pf
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.pf_rules import render
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    Admission,
    Opening,
    Policy,
    RateLimit,
    merge,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import Changer

ANYWHERE = merge(["0.0.0.0/0", "::/0"])
APPLE = 'scrub-anchor "com.apple/*" all fragment reassemble\nanchor "com.apple/*" all\n'
PF_CONF = (
    'scrub-anchor "com.apple/*"\nanchor "com.apple/*"\n'
    'load anchor "com.apple" from "/etc/pf.anchors/com.apple"\n'
)
LOOKS = (" -s ", " -T show", "socketfilterfw")
OWN_TABLE = "table <this_host> const { self }"
CALL = 'anchor "prsnl_ports"'
BRIDGES = f"{{ {', '.join(f'bridge{number}' for number in range(100, 116))} }}"


def opening(**changes: t.Any) -> Opening:
    values: dict[str, t.Any] = {
        "id": "shop.http",
        "protocol": "tcp",
        "port": 4711,
        "sources": merge(["198.51.100.1/32", "2001:db8::1/128"]),
        "destinations": ANYWHERE,
    }
    return Opening(**(values | changes))


def lines(*openings: Opening, **changes: t.Any) -> list[str]:
    policy = Policy(openings, **({"ssh_ports": (22,)} | changes))
    return [line for line in render(policy).splitlines() if not line.startswith("#")]


def of(id_: str, found: list[str]) -> list[str]:
    return [line for line in found if f'label "{id_}"' in line]


def test_what_every_mac_needs() -> None:
    assert lines() == [
        "table <this_host> const { self }",
        "pass quick on lo0 all no state",
        "pass in quick proto tcp from any to any port 22 no state",
        "pass out quick proto tcp from any port 22 to any no state",
        "pass out quick all flags any keep state",
        "pass in quick inet proto icmp all icmp-type { 3, 8, 11, 12 } keep state",
        "pass in quick inet6 proto ipv6-icmp all"
        " icmp6-type { 1, 2, 3, 4, 128, 130, 134, 135, 136 } allow-opts keep state",
        "pass in quick inet proto udp from any port 67 to any port 68 keep state",
        "pass in quick inet6 proto udp from fe80::/10 port 547 to any port 546 keep state",
        "pass in quick inet proto igmp all allow-opts no state",
        "pass in quick proto udp from any to any port 5353 no state",
        "pass in quick on { awdl0, llw0 } inet6 from fe80::/10 to any keep state",
        f"pass in quick on {BRIDGES} inet proto udp from any port 68 to any port 67 no state",
        f"pass in quick on {BRIDGES} proto {{ tcp, udp }} from any to <this_host> port 53"
        " keep state",
        f"pass in quick on {BRIDGES} inet6 proto ipv6-icmp all icmp6-type 133 no state",
        f"pass in quick on {BRIDGES} from any to ! <this_host> keep state",
        "pass in quick proto tcp all flags A/SA no state",
        "block return in quick all",
    ]


def test_a_protocol_without_ports_is_a_rule_for_each_source() -> None:
    sources = merge(["198.51.100.0/24", "2001:db8::/64"])
    assert of("addresses", lines(admissions=(Admission("addresses", 112, sources),))) == [
        'pass in quick inet proto 112 from 198.51.100.0/24 to any no state label "addresses"',
        'pass in quick inet6 proto 112 from 2001:db8::/64 to any no state label "addresses"',
    ]


def test_an_endpoint_has_a_table_and_a_rule_for_each_family() -> None:
    found = lines(opening())
    assert found[1] == "table <tcp4711_shop_http> const { 198.51.100.1/32, 2001:db8::1/128 }"
    assert of("shop.http", found) == [
        f"pass in quick {family} proto tcp from <tcp4711_shop_http> to any port 4711"
        ' flags S/SA keep state label "shop.http"'
        for family in ("inet", "inet6")
    ]


def test_only_the_families_that_are_meant() -> None:
    found = lines(opening(sources=merge(["2001:db8::1"])))
    assert [line.split()[3] for line in of("shop.http", found)] == ["inet6"]


def test_anyone_needs_no_table() -> None:
    found = lines(opening(sources=ANYWHERE))
    assert [line for line in found if line.startswith("table")] == [OWN_TABLE]
    assert all(" from any to any port 4711 " in line for line in of("shop.http", found))


def test_udp_has_no_flags() -> None:
    assert all("flags" not in line for line in of("shop.http", lines(opening(protocol="udp"))))


def test_certain_addresses() -> None:
    found = of("shop.http", lines(opening(destinations=merge(["192.0.2.1", "192.0.2.9"]))))
    assert [line.split(" to ")[1].split()[0] for line in found] == ["192.0.2.1/32", "192.0.2.9/32"]


def test_limit_and_log() -> None:
    found = of("shop.http", lines(opening(limit=RateLimit("20/minute", log=True))))
    assert all(line.startswith("pass in log quick ") for line in found)
    assert all("keep state (max-src-conn-rate 20/60)" in line for line in found)


def test_ssh_from_some_networks() -> None:
    found = lines(ssh_sources=merge(["192.0.2.7", "2001:db8::/64"]))
    assert found[0] == "table <ssh> const { 192.0.2.7/32, 2001:db8::/64 }"
    assert found[3:5] == [
        "pass in quick proto tcp from <ssh> to any port 22 no state",
        "pass out quick proto tcp from any port 22 to <ssh> no state",
    ]


def test_dropping() -> None:
    assert lines(reject=False)[-1] == "block drop in quick all"


def test_every_rule_is_quick_and_the_last_one_blocks() -> None:
    rules = [line for line in lines(opening(), opening(id="a.b")) if not line.startswith("table")]
    assert all(" quick " in rule for rule in rules)
    assert [rule for rule in rules if rule.startswith("block")] == rules[-1:]


def test_long_names_fit() -> None:
    found = lines(opening(id="long" * 20 + "." + "name" * 20))
    assert all(len(name) <= 31 for name in re.findall(r'<(\S+)>|label "(\S+)"', "\n".join(found)))


class SimulatedMac:
    """A simulation: pfctl and launchctl as far as they are called here, not the real programs."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.main = APPLE
        self.anchor = ""
        # Other anchors by name, and what macOS's own firewall says.
        self.others: dict[str, str] = {}
        self.own_firewall = "Firewall is disabled. (State = 0)\n"
        self.tables: dict[str, str] = {}
        self.references: list[str] = []
        self.calls: list[str] = []
        conf = root / "etc" / "pf.conf"
        conf.parent.mkdir()
        conf.write_text(PF_CONF)

    @property
    def changes(self) -> list[str]:
        """The calls that change something."""
        return [call for call in self.calls if not any(word in call for word in LOOKS)]

    def __call__(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        program, *arguments = command
        text = " ".join([pathlib.Path(program).name, *arguments])
        self.calls.append(text)
        if text == "socketfilterfw --getglobalstate":
            return 0, self.own_firewall, ""
        return self.pfctl(arguments, stdin or "") if text.startswith("pfctl") else (0, "", "")

    def pfctl(  # noqa: PLR0911, PLR0912 - one for each call
        self, arguments: list[str], stdin: str
    ) -> tuple[int, str, str]:
        anchored = arguments[:2] == ["-a", "prsnl_ports"]
        match arguments[2:] if anchored else arguments:
            case ["-s", "rules"]:
                return 0, self.anchor if anchored else self.main, "No ALTQ support in kernel\n"
            case ["-v", "-s", "Anchors"]:
                names = [*self.others, *(["prsnl_ports"] if self.anchor else [])]
                return 0, "".join(f"  {name}\n" for name in names), ""
            case ["-a", name, "-s", "rules"] if name in self.others:
                return 0, self.others[name], ""
            case ["-s", "Tables"]:
                return 0, "".join(f"{name}\n" for name in self.tables), ""
            case ["-t", name, "-T", "show"]:
                return 0, self.tables[name], ""
            case ["-s", "info"]:
                return 0, f"Status: {'Enabled' if self.references else 'Disabled'}\n", ""
            case ["-f", "-"] if anchored:
                found = stdin.splitlines()
                self.tables = {
                    m[1]: m[2].replace(", ", "\n")
                    for m in re.finditer(r"table <(\S+)> const { (.*) }", stdin)
                }
                rules = [line for line in found if line.startswith(("pass", "block"))]
                self.anchor = "".join(f"{line}\n" for line in rules)
            case ["-R", "-f", "-"]:
                self.main = stdin
            case ["-F", "all"] if anchored:
                self.anchor, self.tables = "", {}
            case ["-E"]:
                self.references.append(str(1000 + len(self.calls)))
                return 0, "", f"pf enabled\nToken : {self.references[-1]}\n"
            case ["-X", token]:
                self.references.remove(token)
            case ["-n", "-f", "-"] | ["-R", "-n", "-f", "-"]:
                pass
            case unknown:
                raise AssertionError(f"the simulation doesn't know pfctl {unknown}")
        return 0, "", ""


@pytest.fixture
def mac(tmp_path: pathlib.Path) -> SimulatedMac:
    return SimulatedMac(tmp_path)


@pytest.fixture
def firewall(mac: SimulatedMac) -> Firewall:
    pf = Pf(mac, str(mac.root))
    record, pending, durable = (
        f"{mac.root}{path}" for path in (firewall_darwin.RECORD, "/var/run/undo", "/var/db/undo")
    )
    return Firewall(pf, mac, record, pending, durable, persistent=True)


POLICY = Policy((opening(),), (22,))
ADA, TOKEN = Changer("laptop", "ada"), "token"


def apply(firewall: Firewall, policy: Policy = POLICY) -> bool:
    """One run of the module without a confirmation; returns whether it changed something."""
    change = firewall.compare(policy)
    firewall.validate(policy, change, coexist=False)
    if change.loads or change.keeps:
        firewall.apply(policy, 0, TOKEN, ADA)
    return change.loads or change.keeps


def test_the_calls_of_a_first_run(mac: SimulatedMac, firewall: Firewall) -> None:
    assert apply(firewall)
    assert mac.changes == [
        "pfctl -a prsnl_ports -n -f -",
        "pfctl -a prsnl_ports -f -",
        "pfctl -R -n -f -",
        "pfctl -R -f -",
        "pfctl -E",
        "pfctl -n -f -",
        "launchctl bootout system/prsnl.ports.firewall",
        f"launchctl bootstrap system {mac.root}/Library/LaunchDaemons/prsnl.ports.firewall.plist",
    ]
    assert mac.main == APPLE + CALL + "\n"
    assert mac.anchor.endswith("block return in quick all\n")
    assert (mac.root / "etc/pf.conf").read_text() == PF_CONF + CALL + "\n"


def test_the_second_run_only_looks(mac: SimulatedMac, firewall: Firewall) -> None:
    apply(firewall)
    mac.calls.clear()
    assert not apply(firewall)
    assert mac.changes == []


def test_other_rules_replace_the_anchor_only(mac: SimulatedMac, firewall: Firewall) -> None:
    apply(firewall)
    mac.calls.clear()
    assert apply(firewall, Policy((), (22,)))
    assert mac.changes == ["pfctl -a prsnl_ports -n -f -", "pfctl -a prsnl_ports -f -"]
    assert set(mac.tables) == {"this_host"}


@pytest.mark.parametrize("what", ["table", "rule", "call", "reference"])
def test_a_change_by_hand_is_mended(mac: SimulatedMac, firewall: Firewall, what: str) -> None:
    apply(firewall)
    before = (mac.main, mac.anchor, dict(mac.tables))
    if what == "table":
        mac.tables["tcp4711_shop_http"] += "\n203.0.113.1/32"
    elif what == "rule":
        mac.anchor = mac.anchor.replace("block return", "pass")
    elif what == "call":
        mac.main = APPLE
    else:
        mac.references.clear()
    assert apply(firewall)
    assert (mac.main, mac.anchor, mac.tables) == before
    assert len(mac.references) == 1
    assert not apply(firewall)


def test_an_update_of_macos_that_replaces_pf_conf_is_mended(
    mac: SimulatedMac, firewall: Firewall
) -> None:
    apply(firewall)
    (mac.root / "etc/pf.conf").write_text(PF_CONF)
    mac.calls.clear()
    assert apply(firewall)
    assert mac.changes == ["pfctl -n -f -"]
    assert (mac.root / "etc/pf.conf").read_text() == PF_CONF + CALL + "\n"


def test_nothing_flushes_more_than_the_own_anchor(mac: SimulatedMac, firewall: Firewall) -> None:
    apply(firewall)
    firewall.remove(ADA, TOKEN, simulate=False)
    assert {call for call in mac.calls if "-F" in call} == {"pfctl -a prsnl_ports -F all"}
    assert not [call for call in mac.calls if call in ("pfctl -f -", "pfctl -d", "pfctl -e")]


def test_removing_leaves_the_mac_as_it_was(mac: SimulatedMac, firewall: Firewall) -> None:
    mac.references.append("somebody else's")
    apply(firewall)
    firewall.remove(ADA, TOKEN, simulate=False)
    assert mac.anchor == ""
    assert mac.references == ["somebody else's"]
    assert (mac.root / "etc/pf.conf").read_text() == PF_CONF
    left = {path.name for path in mac.root.rglob("*") if path.is_file()}
    assert left == {"pf.conf"}
    change = firewall.remove(ADA, TOKEN, simulate=True)
    assert (change.loads, change.keeps) == (False, False)


def test_a_main_ruleset_that_blocks_is_refused(mac: SimulatedMac, firewall: Firewall) -> None:
    mac.main = "block drop in all\n" + APPLE
    mac.references.append("somebody else's")
    with pytest.raises(FirewallError, match=r"The main ruleset blocks by itself.*set coexist"):
        apply(firewall)
    assert mac.changes == []


def test_another_anchor_that_blocks_is_refused(mac: SimulatedMac, firewall: Firewall) -> None:
    mac.others = {"com.apple": "", "com.apple/400.Guard": "block drop in quick proto tcp all\n"}
    mac.references.append("somebody else's")
    with pytest.raises(FirewallError, match=r"The anchor com.apple/400.Guard of pf blocks by itse"):
        apply(firewall)
    assert mac.changes == []


@pytest.mark.parametrize(("state", "is_on"), [("0", False), ("1", True), ("2", True)])
def test_macos_own_firewall_is_told(mac: SimulatedMac, state: str, is_on: bool) -> None:
    mac.own_firewall = f"Firewall is what it is. (State = {state})\n"
    told = Pf(mac, str(mac.root)).others()
    assert [text.startswith("macOS's own firewall is on") for text in told] == [True] * is_on


def test_another_address_of_the_mac_is_no_difference(mac: SimulatedMac, firewall: Firewall) -> None:
    apply(firewall)
    mac.tables["this_host"] = "192.0.2.77\n"
    assert not apply(firewall)
    assert firewall.judge() == []


class Boot:
    """A Mac that starts: the job's script really runs, with a pfctl that keeps files."""

    def __init__(self, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.token = folder / "run" / "token"
        (folder / "rules").write_text("pass quick on lo0 all no state\nblock return in quick all\n")
        self.script = firewall_darwin.JOB_SCRIPT.replace(
            firewall_darwin.PFCTL, str(folder / "pfctl")
        )
        self.script = self.script.replace(firewall_darwin.RULES, str(folder / "rules"))
        self.script = self.script.replace(firewall_darwin.TOKEN, str(self.token))
        self.script = self.script.replace(
            str(pathlib.Path(firewall_darwin.TOKEN).parent), str(self.token.parent)
        )
        monkeypatch.chdir(folder)
        for name in ("main", "anchor", "info"):
            (folder / name).write_text("")
        (folder / "pfctl").write_text(
            """#!/bin/sh
echo 'No ALTQ support in kernel' >&2
case "$*" in
    "-s rules") cat main ;;
    "-a prsnl_ports -s rules") cat anchor ;;
    "-a prsnl_ports -f "*) cat "$4" > anchor ;;
    "-R -f -") cat > new && mv new main ;;
    "-E") echo 'Status: Enabled' > info; echo 'Token : 4711' >&2 ;;
    "-s info") cat info ;;
    *) exit 9 ;;
esac
"""
        )
        (folder / "pfctl").chmod(0o755)

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", self.script], capture_output=True, text=True, check=False
        )


@pytest.mark.parametrize("main", [APPLE, APPLE + CALL + " all\n", ""])
def test_the_anchor_is_called_after_a_boot_whatever_pf_conf_became(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, main: str
) -> None:
    boot = Boot(tmp_path, monkeypatch)
    (tmp_path / "main").write_text(main)
    done = boot.run()
    assert (done.returncode, "are in force" in done.stdout) == (0, True), done
    found = (tmp_path / "main").read_text()
    assert found.count(CALL) == 1
    assert found.startswith(main)
    assert boot.token.read_text() == "4711\n"
    (tmp_path / "main").write_text(APPLE)
    assert boot.run().returncode == 0, "it does nothing when it is bootstrapped later"
    assert (tmp_path / "main").read_text() == APPLE


def test_a_boot_that_fails_says_so(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = Boot(tmp_path, monkeypatch)
    (tmp_path / "rules").unlink()
    done = boot.run()
    assert done.returncode == 1
    assert "NOT in force" in done.stdout


def test_the_job_at_boot_is_a_property_list() -> None:
    job = plistlib.loads(firewall_darwin.JOB_TEXT.encode())
    assert job["RunAtLoad"] is True
    assert "pfctl -a prsnl_ports -f /etc/pf.anchors/prsnl_ports" in job["ProgramArguments"][2]


def test_the_way_back_gives_up_the_reference_only_if_it_was_new(mac: SimulatedMac) -> None:
    pf = Pf(mac, str(mac.root))
    assert "-X" in pf.undo_command("/undo")
    pf.load(render(POLICY))
    assert pf.undo_command("/undo") == "/sbin/pfctl -a prsnl_ports -f /undo"
