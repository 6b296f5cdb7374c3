# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a chain of rules does with a packet, as far as that can be told. Pure.

A policy of a chain says little: behind ``accept`` there may be a rule that rejects all. So packets
are walked through chains and jumps. Whether a rule applies is known, or it isn't: a rule about what
nobody knows of the packet may apply and may not, and both ways are walked.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field

from ansible_collections.prsnl.ports.plugins.module_utils.plan.addresses import Network

ACCEPT, DROP, RETURN, CONTINUE = "accept", "drop", "return", "continue"
# Of nested jumps; the kernel's own limit (NFT_JUMP_STACK_SIZE) is 16.
DEPTH = 16


@dataclass(frozen=True)
class Packet:
    """One that begins a connection from elsewhere, or belongs to one (``state``).

    ``sources`` and ``destinations`` are what its addresses may be: a rule applies for sure when it
    does for all of them. ``interfaces`` are those that it may come by, None where nobody knows.
    """

    family: int
    protocol: int
    port: int
    sources: tuple[Network, ...]
    destinations: tuple[Network, ...]
    interfaces: t.Optional[tuple[str, ...]] = None
    state: str = "new"


# Whether a rule applies; None where that can't be told.
Condition = t.Callable[[Packet], t.Optional[bool]]
# Evaluated, by Python 3.8 too.
Verdicts = t.Callable[[Packet], t.Sequence[t.Tuple[t.Optional[bool], str]]]  # noqa: UP006


@dataclass(frozen=True)
class Rule:
    """When it applies, and what happens then: a verdict, or C(jump NAME) and C(goto NAME).

    A rule with ``verdicts`` has several, such as a map, each with whether it is the one.
    """

    text: str
    conditions: tuple[Condition, ...] = ()
    verdict: str = CONTINUE
    verdicts: t.Optional[Verdicts] = None

    def applies(self, packet: Packet) -> t.Optional[bool]:
        """Whether all conditions hold."""
        found: t.Optional[bool] = True
        for condition in self.conditions:
            holds = condition(packet)
            if holds is False:
                return False
            if holds is None:
                found = None
        return found


@dataclass
class Chain:
    """A chain; a base chain has a hook and a policy. ``device`` is the one that it is bound to."""

    owner: str
    name: str
    families: tuple[int, ...]
    hook: str = ""
    policy: str = ACCEPT
    priority: int = 0
    device: str = ""
    rules: list[Rule] = field(default_factory=list)


@dataclass(frozen=True)
class Hit:
    """Where a packet may end."""

    verdict: str
    chain: Chain
    rule: t.Optional[Rule] = None

    def __str__(self) -> str:
        what = f"the rule '{self.rule.text}'" if self.rule else f"its policy {self.verdict}"
        return f"{self.chain.owner}, chain {self.chain.name}, {what}"


class Walk:
    """Walks packets through chains.

    :param chains: those of one ruleset, by its name and theirs.
    :param doubtful: what becomes of a rule that may apply: None walks both ways.
    """

    def __init__(
        self, chains: t.Mapping[tuple[str, str], Chain], doubtful: t.Optional[bool] = None
    ) -> None:
        self._chains = chains
        self._doubtful = doubtful

    def ends(self, chain: Chain, packet: Packet) -> list[Hit]:
        """Return every end that a packet may have in a base chain."""
        hits, through = self._through(chain, packet, 0)
        if through:
            hits.append(Hit(chain.policy, chain))
        return hits

    def _through(self, chain: Chain, packet: Packet, depth: int) -> tuple[list[Hit], bool]:
        """Return the ends in a chain, and whether the packet may leave it without one."""
        hits: list[Hit] = []
        may_have_left = False
        for rule in chain.rules:
            applies = rule.applies(packet)
            applies = self._doubtful if applies is None else applies
            if applies is False:
                continue
            for sure, verdict in rule.verdicts(packet) if rule.verdicts else [(True, rule.verdict)]:
                is_sure = applies is True and sure is True
                if sure is None and self._doubtful is False:
                    continue
                found, ends, leaves = self._verdict(chain, rule, verdict, packet, depth)
                hits += found
                if is_sure and ends:
                    return hits, leaves or may_have_left
                may_have_left = may_have_left or leaves
        return hits, True

    def _verdict(
        self, chain: Chain, rule: Rule, verdict: str, packet: Packet, depth: int
    ) -> tuple[list[Hit], bool, bool]:
        """Return the ends of a verdict, whether no later rule counts, and whether it leaves."""
        if verdict in (ACCEPT, DROP):
            return [Hit(verdict, chain, rule)], True, False
        if verdict == RETURN:
            return [], True, True
        word, _space, name = verdict.partition(" ")
        target = self._chains.get((chain.owner, name))
        if word not in ("jump", "goto") or target is None or depth >= DEPTH:
            return [], False, False
        hits, through = self._through(target, packet, depth + 1)
        if word == "goto":
            return hits, True, through
        return hits, not through, False


# --- comparing what a rule wants with what a packet has ----------------------------------------


def matches_networks(has: t.Sequence[Network], wanted: t.Sequence[Network]) -> t.Optional[bool]:
    """Whether all addresses that a packet may have are in networks; None if only some are."""
    if not has:
        return None
    inside = [_inside(network, wanted) for network in has]
    if all(found is True for found in inside):
        return True
    return False if all(found is False for found in inside) else None


def _inside(network: Network, wanted: t.Sequence[Network]) -> t.Optional[bool]:
    same = [other for other in wanted if other.version == network.version]
    if any(_within(network, other) for other in same):
        return True
    return None if any(network.overlaps(other) for other in same) else False


def _within(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def matches_interface(has: t.Optional[tuple[str, ...]], wanted: str) -> t.Optional[bool]:
    """Whether a packet from elsewhere comes by an interface; C(*) or C(+) at its end is any text.

    :param has: the interfaces that it may come by.
    """
    prefix = wanted[:-1] if wanted[-1:] in ("*", "+") else None
    if has is None:
        return False if wanted == "lo" else True if prefix == "" else None
    found = [name.startswith(prefix) if prefix is not None else name == wanted for name in has]
    return True if all(found) and found else None if any(found) else False


def negated(found: t.Optional[bool]) -> t.Optional[bool]:
    """Return the opposite, of what is known."""
    return None if found is None else not found
