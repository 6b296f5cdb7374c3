# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who else filters packets to a Linux host: nftables, and iptables with its legacy tables.

A packet has to pass every base chain, so one that drops it is enough. What is asked of all of them
is where a packet ends that begins a connection: one that nobody names, and one to each endpoint.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shutil
import typing as t
from dataclasses import replace

from ansible_collections.prsnl.ports.plugins.module_utils.firewall import (
    iptables_rules,
    nftables_chains,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.chains import (
    ACCEPT,
    DROP,
    Chain,
    Hit,
    Packet,
    Walk,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables_rules import TABLE
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    ANYONE,
    FAMILIES,
    PROTOCOLS,
    Opening,
    Policy,
    Reach,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, unique
from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import Network

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
# Files that load rules at boot, by the program that made them.
FILES = {
    "iptables": ("/etc/iptables/rules.v4", "/etc/sysconfig/iptables"),
    "ip6tables": ("/etc/iptables/rules.v6", "/etc/sysconfig/ip6tables"),
}
NFTABLES_CONF = "/etc/nftables.conf"
LEGACY = {4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names"}
# Of kube-proxy in its ways, and of the networks of Kubernetes and of CNI.
CLUSTER = re.compile(
    r"(KUBE-|CNI-|cali-|FLANNEL-|CILIUM_|WEAVE|ANTREA-|KUBE_|kube-proxy|cilium|istio)[\w-]*"
)
# Addresses of the network for documentation, which no rule names.
NOBODY = {4: ipaddress.ip_network("203.0.113.77/32"), 6: ipaddress.ip_network("2001:db8:77::7/128")}
UNNAMED_PORT = 4
# Older versions of nft don't tell where iptables' rules redirect to.
IPTABLES_NAT = re.compile(r'"table": "nat", .*"chain": "(PREROUTING|DOCKER|NETAVARK|CNI)')
NFT = "-nft"
SHOWN = 4


class Foreign:
    """The rules of everybody else.

    :param chains: all chains but ours.
    :param addresses: those of this host.
    :param interfaces: the devices by which packets of networks come, the most precise one first.
    :param cluster: what shows that the host is a node of a cluster; empty if nothing does.
    :param blind: tables that can't be read, and why.
    :param redirected: protocols and ports that are sent elsewhere, as those of containers.
    """

    def __init__(
        self,
        chains: t.Sequence[Chain],
        addresses: t.Sequence[Network],
        interfaces: t.Sequence[tuple[Network, str]],
        *,
        cluster: str = "",
        blind: t.Sequence[str] = (),
        redirected: t.Iterable[tuple[str, int]] = (),
    ) -> None:
        self._chains = {(chain.owner, chain.name): chain for chain in chains}
        order = ("ingress", "prerouting", "input")
        self._base = [c for hook in order for c in chains if c.hook == hook]
        self._out = [c for c in chains if c.hook == "output"]
        self._addresses = addresses
        # A family in which nobody can reach the host has nothing to close.
        usable = {int(a.version) for a in addresses if not a.is_link_local}
        self._families = usable or set(FAMILIES)
        self._interfaces = interfaces
        self.cluster = cluster
        self.blind = tuple(blind)
        self.redirected = tuple(sorted(redirected))

    def closing(self) -> list[Hit]:
        """Return where a packet ends that no rule names, where it isn't let in."""
        walk = Walk(self._chains, doubtful=False)
        found: dict[tuple[str, str], Hit] = {}
        for family in sorted(self._families):
            for number in PROTOCOLS.values():
                packet = self._packet(family, number, UNNAMED_PORT, (NOBODY[family],))
                for chain in self._base:
                    hits = self._ends(walk, chain, packet)
                    if hits and all(hit.verdict == DROP for hit in hits):
                        found.setdefault((hits[0].chain.owner, hits[0].chain.name), hits[0])
        return list(found.values())

    def reach(self, policy: Policy) -> Reach:
        """Return what becomes of the packets that a policy lets in."""
        closed: dict[str, list[str]] = {}
        unsure: dict[str, list[str]] = {}
        walk = Walk(self._chains)
        for opening in policy.openings:
            for family in sorted(self._families):
                # Alike for all, where nobody's rules tell sources apart.
                sources = unique(source for source, _destination in opening.pairs(family))
                for source in sources:
                    verdict, hit = self._verdict(walk, opening, family, source)
                    if verdict == ACCEPT:
                        continue
                    label = f"{opening.port}/{opening.protocol} ({opening.id})"
                    where = closed if verdict == DROP else unsure
                    where.setdefault(str(hit), []).append(label)
        return Reach(_told(closed), _told(unsure))

    def _verdict(
        self, walk: Walk, opening: Opening, family: int, source: str
    ) -> tuple[str, t.Optional[Hit]]:
        network = ipaddress.ip_network(source)
        number = PROTOCOLS[opening.protocol]
        only = tuple(d for d in opening.destinations if d.version == family and d.prefixlen)
        packet = self._packet(family, number, opening.port, (network,))
        packet = replace(packet, destinations=only or packet.destinations)
        doubt: t.Optional[Hit] = None
        for chain in self._base:
            hits = self._ends(walk, chain, packet)
            drops = [hit for hit in hits if hit.verdict == DROP]
            if drops and len(drops) == len(hits):
                return DROP, drops[0]
            doubt = doubt or (drops[0] if drops else None)
        answer = self._packet(family, number, 0, (network,), "established")
        for chain in self._out:
            hits = self._ends(walk, chain, answer)
            if hits and all(hit.verdict == DROP for hit in hits):
                return DROP, hits[0]
        return ("doubt", doubt) if doubt else (ACCEPT, None)

    def _packet(
        self,
        family: int,
        protocol: int,
        port: int,
        sources: tuple[Network, ...],
        state: str = "new",
    ) -> Packet:
        here = tuple(a for a in self._addresses if a.version == family)
        devices = self._devices(sources[0])
        return Packet(family, protocol, port, sources, here, devices, state)

    def _devices(self, source: Network) -> t.Optional[tuple[str, ...]]:
        for network, device in self._interfaces:
            if network.version == source.version and _covers(network, source):
                return (device,)
        return tuple(unique(device for _network, device in self._interfaces)) or None

    @staticmethod
    def _ends(walk: Walk, chain: Chain, packet: Packet) -> list[Hit]:
        if packet.family not in chain.families:
            return []
        hits = walk.ends(chain, packet)
        if not chain.device or (packet.interfaces and chain.device in packet.interfaces):
            return hits
        # nft doesn't tell the device of every version's chains.
        return [*hits, Hit(ACCEPT, chain)] if chain.device == nftables_chains.UNKNOWN_DEVICE else []


def _covers(network: Network, source: Network) -> bool:
    if isinstance(source, ipaddress.IPv4Network):
        return isinstance(network, ipaddress.IPv4Network) and source.subnet_of(network)
    return isinstance(network, ipaddress.IPv6Network) and source.subnet_of(network)


def _told(found: t.Mapping[str, t.Sequence[str]]) -> tuple[str, ...]:
    lines = []
    for where, labels in found.items():
        names = unique(labels)
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        lines.append(f"{', '.join(names[:SHOWN])}{more}: {where}")
    return tuple(lines)


# --- whose they are, and what to do ------------------------------------------------------------


def remedy(hit: Hit, root: str = "") -> str:
    """Return what drops, in words, and what to do about it."""
    chain = hit.chain
    what = (
        f"{chain.owner} drops by default in its chain {chain.name}"
        if hit.rule is None
        else f"{chain.owner} refuses what nobody named, in its chain {chain.name} by the rule"
        f" '{hit.rule.text}'"
    )
    names = f"{chain.owner} {chain.name}"
    if "ufw" in names:
        return f"ufw is at work: {what}; disable it (ufw disable)"
    if "firewalld" in names or re.search(r"\bIN_\w+|filter_IN", names):
        return f"firewalld runs: {what}; disable it (systemctl disable --now firewalld)"
    program = re.search(r"(ip6?tables)(-nft|-legacy)?", chain.owner)
    loaded = _loaded_by(program[1] if program else "", chain.owner, root)
    if program and hit.rule:
        undo = hit.rule.text.replace("-A ", f"{program[0]} -D ", 1)
        return f"{what}; remove it ({undo}){loaded}"
    if program:
        return f"{what}; let it accept ({program[0]} -P {chain.name} ACCEPT){loaded}"
    return f"{what}; remove it (nft delete table {chain.owner.partition('table ')[2]}){loaded}"


def _loaded_by(program: str, owner: str, root: str) -> str:
    """Return which file loads it at boot, as the end of a sentence."""
    files = [path for path in FILES.get(program, ()) if os.path.exists(root + path)]
    if not program:
        with contextlib.suppress(OSError), open(root + NFTABLES_CONF, encoding="utf-8") as file:
            if owner.partition("the table ")[2] in file.read():
                files = [NFTABLES_CONF]
    return f", and from {listed(files)}, which loads it at boot" if files else ""


# --- reading -----------------------------------------------------------------------------------


def read_foreign(nft: str, run: Runner) -> Foreign:
    """Return the rules of this host but ours.

    :raises ValueError: nft can't be understood.
    """
    code, text, errors = run([nft, "-j", "list", "ruleset"], "")
    if code != 0:
        raise ValueError(f"{nft} -j list ruleset ended with {code}: {errors.strip()}")
    chains, is_opaque = nftables_chains.parse_ruleset(text)
    chains = [chain for chain in chains if chain.owner != TABLE]
    texts, blind = [text], []
    if is_opaque or IPTABLES_NAT.search(text):
        saved = _saved(NFT, run, texts)
        known = {chain.families for chain in saved}
        # What iptables made, iptables knows best.
        names = {re.sub(r".*\(table (\w+)\)", r"\1", chain.owner) for chain in saved}
        chains = [
            c for c in chains if c.families not in known or c.owner.partition(" ")[2] not in names
        ] + saved
    for family, path in LEGACY.items():
        code, output, _errors = run(["cat", path], "")
        tables = output.split() if code == 0 else []
        if tables:
            found = _saved("-legacy", run, texts, (family,))
            chains += found
            if not found:
                blind.append(
                    f"legacy tables of iptables are loaded ({', '.join(tables)} in {path}), and"
                    " iptables-legacy isn't there to read them"
                )
    for chain in chains:
        if not chain.owner.startswith("ip6tables") and not chain.owner.startswith("iptables"):
            chain.owner = f"the table {chain.owner}"
    addresses, interfaces = _network(run) if any(chain.hook for chain in chains) else ([], [])
    sign = CLUSTER.search("\n".join(texts).replace(TABLE, ""))
    redirected = nftables_chains.parse_redirects(text)
    for saved_text in texts[1:]:
        redirected |= iptables_rules.parse_redirects(saved_text)
    return Foreign(
        chains,
        addresses,
        interfaces,
        cluster=sign[0] if sign else "",
        blind=blind,
        redirected=redirected,
    )


def _saved(
    kind: str, run: Runner, texts: list[str], families: t.Sequence[int] = FAMILIES
) -> list[Chain]:
    found = []
    for family in families:
        plain = "iptables" if family == 4 else "ip6tables"  # noqa: PLR2004
        for name in (f"{plain}{kind}", plain):
            program = shutil.which(f"{name}-save", path=f"{os.environ.get('PATH', '')}:{SBIN}")
            if program is None:
                continue
            if name == plain and ("nf_tables" in run([program, "-V"], "")[1]) != (kind == NFT):
                continue
            code, output, _errors = run([program], "")
            if code == 0:
                texts.append(output)
                found += iptables_rules.parse_saved(output, family, name)
                break
    return found


def _network(run: Runner) -> tuple[list[Network], list[tuple[Network, str]]]:
    """Return the addresses of this host, and the devices of its routes."""
    addresses: list[Network] = []
    routes: list[tuple[Network, str]] = []
    for device in _json(run, ["ip", "-j", "addr", "show"]):
        for address in device.get("addr_info", ()):
            network = ipaddress.ip_network(address["local"])
            if not network.is_loopback:
                addresses.append(network)
    for family in FAMILIES:
        for route in _json(run, ["ip", "-j", f"-{family}", "route", "show"]):
            target = route.get("dst", "")
            target = ANYONE[family] if target == "default" else target
            if target and "dev" in route:
                routes.append((ipaddress.ip_network(target, strict=False), str(route["dev"])))
    return addresses, sorted(routes, key=lambda route: -route[0].prefixlen)


def _json(run: Runner, command: t.Sequence[str]) -> list[dict[str, t.Any]]:
    code, output, _errors = run(command, "")
    try:
        return [entry for entry in json.loads(output or "[]") if entry] if code == 0 else []
    except ValueError:
        return []
