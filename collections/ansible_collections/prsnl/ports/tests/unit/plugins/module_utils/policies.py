# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies of a firewall by chance, and rules that pf refuses, for a simulated and a real pf."""

from __future__ import annotations

import random

from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    Admission,
    Opening,
    Policy,
    RateLimit,
    merge,
)

NETWORKS = (
    "0.0.0.0/0",
    "198.51.100.0/24",
    "198.51.100.7/32",
    "192.0.2.0/28",
    "::/0",
    "2001:db8::/64",
    "2001:db8:1::7/128",
)


def random_policy(dice: random.Random) -> Policy:
    openings = []
    for number in range(dice.randrange(6)):
        sources = merge(dice.sample(NETWORKS, dice.randrange(1, 4)))
        listen = dice.sample(["0.0.0.0/0", "::/0", "192.0.2.10", "2001:db8::10"], 2)
        limit = dice.choice([None, None, RateLimit("20/second"), RateLimit(log=True)])
        openings.append(
            Opening(
                id=f"service{number}.endpoint",
                protocol=dice.choice(["tcp", "udp"]),
                port=dice.choice([80, 443, 5433, 6379, 8000 + number]),
                sources=sources,
                destinations=merge(listen),
                limit=limit,
            )
        )
    return Policy(
        openings=tuple(openings),
        ssh_ports=tuple(sorted(dice.sample([22, 2222], dice.randrange(1, 3)))),
        ssh_sources=merge(dice.sample(NETWORKS, dice.randrange(3))),
        reject=dice.random() < 0.5,
        container_interfaces=("docker*",),
        admissions=tuple(
            Admission(f"service{protocol}.path", protocol, merge(dice.sample(NETWORKS, 2)))
            for protocol in dice.sample([47, 50, 112], dice.randrange(3))
        ),
    )


MALFORMED = {
    "a service by its name": "pass in quick proto tcp from any to any port https keep state\n",
    "a port of no protocol": "pass in quick from any to any port 80 keep state\n",
    "a port of icmp": "pass in quick proto icmp from any to any port 80 keep state\n",
    "a port too high": "pass in quick proto tcp from any to any port 65536 keep state\n",
    "a table that isn't there": "pass in quick proto tcp from <nobody> to any port 80 keep state\n",
    "a table after rules": "pass quick on lo0 all no state\ntable <a> const { 192.0.2.1 }\n",
    "a table twice": "table <a> const { 192.0.2.1 }\ntable <a> const { 192.0.2.2 }\n",
    "a name of a table that is too long": f"table <{'a' * 32}> const {{ 192.0.2.1 }}\n",
    "an address with host bits": "table <a> const { 192.0.2.1/24 }\n",
    "an empty table": "table <a> const { }\n",
    "an open brace": "table <a> const { 192.0.2.1\n",
    "flags that never fit": "pass in quick proto tcp all flags S/A keep state\n",
    "flags that aren't any": "pass in quick proto tcp all flags X/SA keep state\n",
    "types of another protocol": "pass in quick inet proto tcp all icmp-type 8 keep state\n",
    "a protocol of the other family": "pass in quick inet6 proto icmp all keep state\n",
    "a wrong order": "pass quick in all keep state\n",
    "rates without a state": ("pass in quick proto tcp all no state (max-src-conn-rate 20/1)\n"),
    "rates of udp": "pass in quick proto udp all keep state (max-src-conn-rate 20/1)\n",
    "a label without quotes": "pass in quick all keep state label shop.http\n",
    "a label that is too long": f'pass in quick all keep state label "{"a" * 64}"\n',
    "an unknown action": "accept in quick all\n",
    "an interface of Linux": "pass in quick on docker* all keep state\n",
    "a line without its end": "block return in quick all",
    "two states": "pass in quick all keep state no state\n",
    "an unknown protocol": "pass in quick proto sctp all keep state\n",
}
