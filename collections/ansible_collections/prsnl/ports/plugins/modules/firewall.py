#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: Open exactly the paths that the port registry declares
version_added: 0.2.0
description:
  - Makes the whole ruleset of a host from its plan, and loads it in one transaction. On Linux it
    is the nftables table C(inet prsnl_ports), on macOS the anchor C(prsnl_ports) of pf.
    Nothing else is touched, and nothing is ever flushed.
  - Inbound connections are refused unless they are named here. Loopback, answers, needed ICMP and
    ICMPv6, and the host's own DHCP are let in. So are V(public) endpoints from anywhere, and
    V(internal) ones from the addresses of their consumers. V(host) endpoints, retired ports and all
    others are closed.
  - Ports that Docker or Podman publish obey the same rules, by their port on the host. So does
    every other connection that the host redirects, unless O(cluster).
  - Every port of the SSH server that manages the host is let in by the first rule, and the
    controller's address always is. No registry can take that away. Where Ansible isn't connected
    over SSH, as in C(ansible-pull), these are the ports of the host's own SSH server.
  - On Linux, what others can reach now and the new rules close is told before they are loaded. A
    tunnel that carries the connection has to stay open by itself.
  - Over SSH, the change takes itself back after O(window) seconds unless a new connection
    confirms it. A crash of the controller, of the network or of the host ends in the old rules or
    in the new ones.
  - Connections that are established when the rules change stay.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.lock
  - prsnl.ports.plan
options:
  state:
    description:
      - With V(absent), the rules and everything that loads them at boot are removed, and nothing
        else is.
    type: str
    choices: [present, absent]
    default: present
  window:
    description:
      - Seconds within which a new connection has to confirm the rules.
      - A connection that is no SSH connection can't be cut by rules, so nothing is confirmed there.
    type: int
    default: 30
  persistent:
    description:
      - Whether the rules are loaded at boot, before the network. Linux needs systemd for that.
      - With V(false), a boot loads none, also none of those that were kept before.
    type: bool
    default: true
  coexist:
    description:
      - What to do where another firewall closes what nobody named, such as ufw, firewalld, a table
        of nftables, or iptables with its legacy tables. Both have to let a packet in, so it would
        close what the registry opens.
      - With V(false) the module fails before a change and says what it found. With V(true) both
        stay, as long as the other one lets in what the registry opens; that is found out by walking
        packets through its chains, and what it closes fails before a change as well.
    type: bool
    default: false
  cluster:
    description:
      - Whether the host is a node of a cluster, such as Kubernetes, whose own rules redirect
        connections. Those are left alone then.
      - A host with chains of kube-proxy or of a network of CNI is refused without it.
      - Linux only.
    type: bool
    default: false
  allow_empty:
    description:
      - Whether a host may have an empty plan, so that everything but SSH is closed. That is more
        often a misspelt group than a wish.
    type: bool
    default: false
  refuse:
    description:
      - What happens to connections that aren't let in. V(reject) answers like a host where nothing
        listens, so that clients fail at once. V(drop) doesn't answer.
    type: str
    choices: [reject, drop]
    default: reject
  ssh_sources:
    description:
      - Networks that may use the port of the SSH connection. The controller's address is added.
      - Anyone, if it is empty.
    type: list
    elements: str
    default: []
  ssh_ports:
    description:
      - More ports of SSH, beside those of the SSH server that manages the host.
      - Set it where people come by a server that can't be seen from there.
    type: list
    elements: int
    default: []
  tunnel:
    description:
      - What to do when the connection comes through a tunnel that ends on the host, such as
        WireGuard, OpenVPN, VXLAN or IPsec, or through a program that relays it, and the new rules
        close the way that the packets of that tunnel come.
      - With V(refuse) the module fails before a change. V(keepalive) says that the host keeps the
        tunnel alive by itself, so that it needs no open port.
      - Linux only.
    type: str
    choices: [refuse, keepalive]
    default: refuse
  container_interfaces:
    description:
      - Interfaces of container networks whose containers ask this host for names. V(*) at the end
        stands for any text. Docker's own networks need none.
      - Linux only.
    type: list
    elements: str
    default: ['podman*', 'docker*']
  close_all:
    description:
      - Whether a Mac gets rules though its plan opens nothing to others, as that of one developer's
        Mac. By default it doesn't, and RV(left_off) says so; services that are for this host only
        are bound to loopback anyway. Rules that are there already are kept up to date.
      - Macs only. Linux always gets its rules.
    type: bool
    default: false
  limits:
    description:
      - Limits of endpoints that are open to others, by the endpoint's id, such as C(nginx.https).
        They count for new connections only.
      - Endpoints of other hosts are ignored, so that all hosts can share them.
    type: dict
    default: {}
    suboptions:
      rate:
        description:
          - How many new connections are let in, as a number and C(/second), C(/minute), C(/hour)
            or C(/day). Together on Linux; from each address, and for TCP only, on macOS.
        type: str
      burst:
        description:
          - How many may exceed O(limits.rate) at once. Linux only.
        type: int
      log:
        description:
          - Whether the kernel logs them.
        type: bool
  connection:
    description:
      - How Ansible is connected. The action sets it.
    type: str
    choices: [ssh, other]
    default: other
  told:
    description:
      - What the new rules close and people were told of. The action sets it.
    type: list
    elements: str
    default: []
  confirm:
    description:
      - The change to confirm. The action sets it.
    type: dict
    suboptions:
      token:
        description:
          - Names the change.
        type: str
        required: true
      session:
        description:
          - The connection that made it.
        type: str
        required: true
attributes:
  diff_mode:
    support: full
    details:
      - The text of the rules. Where they were changed by hand, before is what the kernel lists.
  platform:
    details:
      - On macOS it was tried against a simulation of C(pfctl) only.
notes:
  - What a change replaces is kept on the host until it is confirmed, the rules under C(/run) and
    what loads them at boot under C(/var/lib). So a run that is killed at any moment is taken back
    by its timer, by a reboot, or by the next run, which says so.
  - One remote execution if nothing changes, two if something does - the second one confirms. One
    more where the new rules close what others can reach now, so that it is told before.
  - Run it with C(become=true).
requirements:
  - nft (package nftables) on Linux hosts
seealso:
  - module: prsnl.ports.registry_info
  - module: prsnl.ports.port_verify
"""

EXAMPLES = r"""
- name: Open what the registry declares
  prsnl.ports.firewall:
  become: true

- name: The same, with SSH for the operators only, and a limit
  prsnl.ports.firewall:
    ssh_sources: [192.0.2.0/24, '2001:db8::/64']
    limits:
      nginx.https: {rate: 100/second, burst: 200}
  become: true

- name: Remove the rules
  prsnl.ports.firewall:
    state: absent
  become: true
"""

RETURN = r"""
recovered:
  description: What became of changes of this host that were cut off before.
  returned: when there was one
  type: list
  elements: str
rules:
  description: The whole ruleset, as C(nft -f) or C(pfctl -f) reads it. Empty if there is none.
  returned: success
  type: str
ssh:
  description: The ports of SSH that are let in first.
  returned: when O(state=present)
  type: list
  elements: int
  sample: [22]
closes:
  description: What others could reach before, and nobody can by the new rules. Linux only.
  returned: when O(state=present) and the rules change
  type: list
  elements: str
  sample: ["8080/tcp (java)"]
left_off:
  description: Why this Mac got no rules.
  returned: when it has none and gets none
  type: str
controller:
  description: The address that Ansible connects from. Empty if that isn't over SSH.
  returned: when O(state=present)
  type: str
  sample: 192.0.2.7
missing_program:
  description: The program that has to be installed first.
  returned: when it is missing
  type: str
  sample: nft
"""

import platform
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.change import (
    Firewall,
    FirewallError,
    RulesetChange,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.nftables_rules import (
    has_opened,
    render,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import (
    Policy,
    read_policy,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.present import (
    Received,
    carriers,
    closed_by,
    read_links,
    read_present,
    received,
    refuse_hidden_loss,
    ssh_ports,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.system import find_firewall
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import (
    LOCK_ARGUMENT,
    Changer,
    LockedError,
    LostLeaseError,
    changer_of,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import (
    Runner,
    module_runner,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import (
    HostChange,
    UndoError,
    changing,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import containers
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.login import (
    Session,
    read_login,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Snapshot

LEFT_OFF = (
    "No endpoint of this Mac is for other hosts, so its firewall was left off. Set close_all to"
    " true to close it all the same."
)
# Seconds beyond the window in which the change is still nobody else's.
GRACE = 10
ARGUMENTS: dict[str, t.Any] = {
    "lock": LOCK_ARGUMENT,
    "lock_timeout": {"type": "int", "default": 120},
    "plan": {"type": "dict"},
    "registry": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "window": {"type": "int", "default": 30},
    "persistent": {"type": "bool", "default": True},
    "coexist": {"type": "bool", "default": False},
    "allow_empty": {"type": "bool", "default": False},
    "cluster": {"type": "bool", "default": False},
    "refuse": {"type": "str", "choices": ["reject", "drop"], "default": "reject"},
    "ssh_sources": {"type": "list", "elements": "str", "default": []},
    "ssh_ports": {"type": "list", "elements": "int", "default": []},
    "tunnel": {"type": "str", "choices": ["refuse", "keepalive"], "default": "refuse"},
    "told": {"type": "list", "elements": "str", "default": []},
    "container_interfaces": {
        "type": "list",
        "elements": "str",
        "default": ["podman*", "docker*"],
    },
    "close_all": {"type": "bool", "default": False},
    "limits": {"type": "dict", "default": {}},
    "connection": {"type": "str", "choices": ["ssh", "other"], "default": "other"},
    "confirm": {
        "type": "dict",
        "options": {
            "token": {"type": "str", "required": True, "no_log": False},
            "session": {"type": "str", "required": True},
        },
    },
}


def result_of(change: RulesetChange) -> dict[str, t.Any]:
    """Return what the module says about a change."""
    note = "" if change.loads or not change.keeps else "# The next boot loads others.\n"
    return {
        "changed": change.loads or change.keeps,
        "rules": change.rules,
        "diff": {
            "before_header": "rules of the kernel",
            "before": note + change.before,
            "after_header": "rules of the registry",
            "after": change.after,
        },
    }


def name_session(session: t.Optional[Session]) -> str:
    """Return what is different for each connection; empty without one."""
    return f"{session.client} {session.client_port}" if session else ""


def look_before(
    module: AnsibleModule,
    run: Runner,
    policy: Policy,
    snapshot: Snapshot,
    *,
    old: str,
    redirected: t.Iterable[tuple[str, int]],
) -> list[str]:
    """Return what a policy closes now.

    :param old: the rules of before, which may have closed it already.
    :param redirected: protocols and ports that others send elsewhere.
    :raises ValueError: that carries the connection.
    """
    links = read_links(run)
    session = read_login().session
    if session and module.params["tunnel"] == "refuse":
        refuse_hidden_loss(policy, carriers(session, snapshot, links, run))

    def closed(seen: Snapshot) -> list[str]:
        ways = received(seen, links)
        known = {way.key for way in ways}
        ways += [Received(*key, "redirected") for key in redirected if key not in known]
        return [str(way) for way in closed_by(policy, ways) if not old or has_opened(old, *way.key)]

    # Whose container it is, the engines are asked only where there is something to tell.
    return closed(containers.attribute(snapshot)) if closed(snapshot) else []


def is_left_off(module: AnsibleModule, policy: Policy, change: RulesetChange) -> bool:
    """Tell whether a Mac stays without rules, because nobody else is to reach anything on it."""
    return (
        platform.system() == "Darwin"
        and not module.params["close_all"]
        and not (policy.openings or policy.admissions or change.before)
    )


def ensure(
    module: AnsibleModule,
    run: Runner,
    firewall: t.Optional[Firewall],
    change_of_host: t.Optional[HostChange],
) -> dict[str, t.Any]:
    """Bring the rules to the plan, and return the module's result.

    :param change_of_host: None in check mode.
    """
    session = read_login().session
    snapshot = read_present() if platform.system() == "Linux" else None
    server = ssh_ports(snapshot, session) if snapshot else ()
    policy = read_policy(module.params, session, server)
    facts = {"ssh": list(policy.ssh_ports), "controller": session.client if session else ""}
    if firewall is None:
        # Check mode on a host whose packages are still to come.
        return {**result_of(RulesetChange(render(policy), "", render(policy), True, True)), **facts}
    change = firewall.compare(policy)
    if is_left_off(module, policy, change):
        return {"changed": False, "rules": "", "left_off": LEFT_OFF, **facts}
    result = {**result_of(change), **facts}
    for doubt in firewall.validate(policy, change, coexist=module.params["coexist"]):
        module.warn(f"Nobody can tell whether another firewall closes {doubt}.")
    if change.loads and not policy.ssh_ports:
        module.warn(
            "Ansible isn't connected over SSH and no SSH server is seen, so no port of SSH is let"
            " in. Set ssh_ports to the port of SSH if people log in to this host."
        )
    if change.loads and snapshot:
        result["closes"] = look_before(
            module,
            run,
            policy,
            snapshot,
            old=change.before,
            redirected=firewall.redirected(policy),
        )
        if result["closes"] and not module.params["told"] and change_of_host is not None:
            return {"changed": False, "to_tell": result["closes"]}
    if change_of_host is None or not result["changed"]:
        return result
    window = module.params["window"] if module.params["connection"] == "ssh" else 0
    token = change_of_host.token
    if firewall.apply(policy, window, token, changer_of(module.params["lock"])):
        change_of_host.lend(window + GRACE)
        result["pending"] = {"token": token, "session": name_session(session)}
    return result


def confirm(module: AnsibleModule, firewall: Firewall, changer: Changer) -> None:
    """Let the rules stay, if this is another connection than the one that loaded them."""
    session = name_session(read_login().session)
    if session and session == module.params["confirm"]["session"]:
        raise FirewallError(
            "The connection that loaded the new rules can't confirm them, because rules leave"
            " established connections alone. The old ones will be back."
        )
    firewall.confirm(module.params["confirm"]["token"], changer)


def change(module: AnsibleModule, run: Runner, changes: t.Optional[HostChange]) -> dict[str, t.Any]:
    """Do what the task says, and return the module's result.

    :param changes: None in check mode.
    """
    absent = module.params["state"] == "absent"
    firewall = find_firewall(run, persistent=module.params["persistent"])
    if firewall is None and absent:
        return {"changed": False, "rules": ""}
    if firewall is None and changes:
        module.fail_json(
            msg="nft is missing. Install it (package nftables).", missing_program="nft"
        )
    changer = changer_of(module.params["lock"])
    if module.params["confirm"] and firewall:
        confirm(module, firewall, changer)
        return {"changed": True}
    if absent and firewall:
        token = changes.token if changes else ""
        return result_of(firewall.remove(changer, token, simulate=changes is None))
    return ensure(module, run, firewall, changes)


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    run = module_runner(module)
    lock = module.params["lock"]
    try:
        if module.check_mode:
            module.exit_json(**change(module, run, None))
        with changing(
            changer_of(lock),
            run,
            token=lock["token"],
            wait=lock["wait"],
            instead_of=lock["instead_of"],
        ) as changes:
            result = change(module, run, changes)
            if changes.recovered:
                result["recovered"] = changes.recovered
                result["changed"] = result["changed"] or changes.has_recovered
    except LockedError as error:
        module.fail_json(msg=str(error), **error.result)
    except (FirewallError, LostLeaseError, UndoError, OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
