# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry and the plan, as a running playbook sees them."""

from __future__ import annotations

import datetime
import typing as t

import jinja2
from ansible.errors import AnsibleError
from ansible.plugins.loader import vars_loader
from ansible.template import Templar

try:
    # The only way to the place of a variable; without it the message names the variable only.
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.plan.compute import (
    Host,
    PlanError,
    Topology,
    compute_plan,
    system_of,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    addresses,
    leases,
    moving,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    load as registry,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    found,
    near,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import (
    Endpoint,
    Protocol,
    Registry,
    mapping,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import LINUX

VARS_PLUGIN: t.Final = "prsnl.ports.registry"
# Variables that give endpoints other ports than the registry's, or more, while they move.
STILL: t.Final = "port_still"
ALSO: t.Final = "port_also"
FAMILIES: t.Final = ("ipv4", "ipv6")
_SUFFIX: t.Final = "_port"
_SHOWN: t.Final = 3


def registry_path() -> str:
    """The file that the vars plugin is configured with, whether that is enabled or not.

    Raises AnsibleError if it isn't set.
    """
    path = vars_loader.get(VARS_PLUGIN).get_option("path")
    if not path:
        raise AnsibleError(
            "The path of the port registry isn't set. Set path in the section [port_registry] of"
            " ansible.cfg, or the environment variable PORT_REGISTRY"
        )
    return str(path)


def current_registry() -> Registry:
    """The registry of this run; raises AnsibleError with every fault of it."""
    try:
        return registry.load(registry_path())
    except RegistryError as error:
        raise AnsibleError(str(error)) from None


def registry_of(variables: t.Mapping[str, t.Any]) -> Registry:
    """The registry for a task or a lookup with these variables.

    The variable `port_still` gives endpoints the ports that they have still, or have again, while
    they move. Raises AnsibleError with every fault of the registry, or if the variable has one.
    """
    known = current_registry()
    still = _ports(variables, STILL)
    return _at(known, still, STILL) if still else known


def _ports(variables: t.Mapping[str, t.Any], name: str) -> t.Any:
    """A variable with ports of endpoints, filled in."""
    ports = variables.get(name)
    return Templar(variables=variables).template(ports) if ports else ports


def _at(known: Registry, ports: t.Any, name: str) -> Registry:
    try:
        return moving.at_ports(known, ports)
    except ValueError as error:
        raise AnsibleError(f"{_origin(ports)}: {name} {error}") from None


# Of hosts whose inventory says it all, as the run found them when it started; tasks run in forks of
# the process that knows this.
_KNOWN: dict[str, Host] = {}
_VARIABLES: t.Final = (
    "ansible_host",
    "port_address_families",
    "port_addresses",
    "port_environment",
    "port_system",
)


# What a template may use and still mean the same in the whole run. A lookup reads when it starts.
_FIXED_NAMES: t.Final = {
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "playbook_dir",
}
_LOOKUPS: t.Final = {"lookup", "query", "q"}
_FIXED_LOOKUPS: t.Final = {
    name for short in ("env", "file", "pipe") for name in (short, f"ansible.builtin.{short}")
}


def remember_hosts(hostvars: t.Any) -> None:
    """Keep what the plan has to know about hosts, once for the whole run.

    Only what the inventory alone says is kept, the system too: what may follow from facts is asked
    for anew each time. So what a play sets with set_fact doesn't move a host whose inventory has an
    address, in that run.
    """
    _KNOWN.clear()
    for name in hostvars:
        raw = hostvars.raw_get(name)
        given = {key: raw[key] for key in _VARIABLES if key in raw}
        if "port_system" in given and _is_fixed(given, raw, set()):
            literal = not any(map(Templar().is_template, given.values()))
            try:
                _KNOWN[name] = _host(name, given if literal else hostvars[name])
            except AnsibleError:
                # Told when the host is needed.
                continue


def _is_fixed(value: t.Any, raw: t.Mapping[str, t.Any], seen: set[str]) -> bool:
    """Whether a value is made of the inventory's variables only, whatever facts say."""
    if isinstance(value, t.Mapping):
        return all(_is_fixed(item, raw, seen) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return all(_is_fixed(item, raw, seen) for item in value)
    if not isinstance(value, str) or not Templar().is_template(value):
        return True
    for name in _names_in(value) - seen:
        is_fact = name.startswith("ansible_") and name not in _VARIABLES
        if is_fact or name not in raw:
            return False
        seen.add(name)
        if not _is_fixed(raw[name], raw, seen):
            return False
    return True


def _names_in(template: str) -> set[str]:
    """The variables of a template; one that nobody has, if what it says can't be told from them."""
    try:
        tree = jinja2.Environment(autoescape=False).parse(template)  # noqa: S701 - only parsed
    except jinja2.TemplateError:
        return {""}
    for call in tree.find_all(jinja2.nodes.Call):
        if isinstance(call.node, jinja2.nodes.Name) and call.node.name in _LOOKUPS:
            first = call.args[0] if call.args else None
            if not isinstance(first, jinja2.nodes.Const) or first.value not in _FIXED_LOOKUPS:
                return {""}
    return {node.name for node in tree.find_all(jinja2.nodes.Name)} - _FIXED_NAMES - _LOOKUPS


class _Hosts(t.Mapping[str, Host]):
    """The hosts of the inventory, looked at when they are asked for: that isn't cheap."""

    def __init__(self, hostvars: t.Mapping[str, t.Mapping[str, t.Any]]) -> None:
        self._hostvars = hostvars
        self._hosts: dict[str, Host] = {}

    def __getitem__(self, name: str) -> Host:
        known = _KNOWN.get(name) or self._hosts.get(name)
        if known is None:
            known = self._hosts[name] = _host(name, self._hostvars[name])
        return known

    def __iter__(self) -> t.Iterator[str]:
        return iter(self._hostvars)

    def __len__(self) -> int:
        return len(self._hostvars)


def _given(host: str, variables: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The variables of a host that the plan needs, with their templates filled in."""
    given: dict[str, t.Any] = {}
    for name in (*_VARIABLES, "ansible_facts"):
        try:
            if name in variables:
                value = variables[name]
                # A list is filled in when its items are asked for.
                given[name] = list(value) if isinstance(value, list) else value
        except AnsibleError as error:
            raise AnsibleError(
                f"{host}: {name} can't be known ({error.message}). What it is made of, such as"
                f" facts, isn't known of {host} in this run, which --limit or gather_facts: false"
                f" may have left out. Write {name} of {host} out in the inventory, gather facts of"
                " all hosts first, or keep them (fact_caching)"
            ) from None
    return given


def _host(name: str, variables: t.Mapping[str, t.Any]) -> Host:
    variables = _given(name, variables)
    families = variables.get("port_address_families", FAMILIES)
    _check_list(name, "port_address_families", families, FAMILIES.__contains__, "ipv4 and ipv6")
    if "port_addresses" in variables:
        given = variables["port_addresses"]
        _check_list(name, "port_addresses", given, _is_address, "IP addresses")
        reached = "addresses by which other hosts reach it"
        _check_list(name, "port_addresses", given, _can_be_reached, reached)
    else:
        # Loopback is the near end of a tunnel or a container, where other hosts don't reach it.
        address = str(variables.get("ansible_host", name))
        usable = addresses.parse_address(address) and not addresses.special(address)
        given = [address] if usable else []
    return Host(
        environment=str(variables.get("port_environment", "")),
        addresses=tuple(str(address) for address in given),
        families=tuple(family for family in FAMILIES if family in families),
        system=_system(variables),
    )


def _is_address(address: t.Any) -> bool:
    return addresses.parse_address(address) is not None


def _can_be_reached(address: t.Any) -> bool:
    # Of loopback there may be one host.
    return addresses.special(str(address)) in (None, "loopback")


def _system(variables: t.Mapping[str, t.Any]) -> str:
    """What the variable `port_system` says, else what facts say that were gathered, else Linux."""
    if "port_system" in variables:
        return str(variables["port_system"])
    return str(variables.get("ansible_facts", {}).get("system", LINUX)).lower()


def _check_list(
    host: str, variable: str, value: t.Any, fits: t.Callable[[t.Any], t.Any], allowed: str
) -> None:
    fault = f"is {found(value)}"
    if isinstance(value, t.Sequence) and not isinstance(value, (str, bytes)) and value:
        bad = [item for item in value if not fits(item)]
        if not bad:
            return
        fault = f"has {listed([found(item) for item in bad], 'and')}"
    raise AnsibleError(f"{host}: {variable} {fault}, allowed is a list of {allowed}")


def topology(task_vars: t.Mapping[str, t.Any]) -> Topology:
    """The inventory of a run, from the variables of a task or of a lookup."""
    return Topology(task_vars["groups"], _Hosts(task_vars["hostvars"]))


def host_names(task_vars: t.Mapping[str, t.Any]) -> set[str]:
    """Every name and address of the inventory's hosts, as far as their variables are plain."""
    names: set[str] = set()
    for name in task_vars.get("groups", {}).get("all", ()):
        variables = task_vars["hostvars"][name]
        given = variables.get("port_addresses", [])
        names |= {name, str(variables.get("ansible_host", name))}
        names |= {str(address) for address in given} if isinstance(given, list) else set()
    return names


def host_system(task_vars: t.Mapping[str, t.Any]) -> str:
    """The system of the task's host, `linux` or `darwin`; raises AnsibleError if it is another."""
    try:
        return system_of(topology(task_vars), task_vars["inventory_hostname"])
    except PlanError as error:
        raise AnsibleError(str(error)) from None


def host_plan(task_vars: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The plan of the task's host as plain data; raises AnsibleError if there can't be one."""
    known = registry_of(task_vars)
    refuse_contradictions(known, task_vars, Templar(variables=task_vars).template)
    places, host = topology(task_vars), task_vars["inventory_hostname"]
    try:
        plan = compute_plan(known, places, host).as_dict()
        also = _ports(task_vars, ALSO)
        if also:
            other = compute_plan(_at(known, also, ALSO), places, host).as_dict()
            plan["endpoints"] += [
                {**endpoint, "id": f"{endpoint['id']}.also"}
                for endpoint in other["endpoints"]
                if endpoint["id"] in also
            ]
    except PlanError as error:
        raise AnsibleError(str(error)) from None
    return plan


def absent_groups(task_vars: t.Mapping[str, t.Any]) -> list[str]:
    """A warning for each group that the registry wants in the environment of the task's host and
    that the inventory doesn't have.
    """
    known = current_registry()
    environment = topology(task_vars).hosts[task_vars["inventory_hostname"]].environment
    wanted: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    registered = mapping(known.data.get("groups"))
    entries: list[tuple[str, str, Endpoint | Protocol]] = [
        *((e.id, known.services[e.service].hosts, e) for e in known.endpoints.values()),
        *((p.name, p.hosts, p) for p in known.protocols.values()),
    ]
    for name, hosts, entry in entries:
        if environment not in entry.environments:
            continue
        for group in (hosts, *(c for c in entry.consumers if c in registered)):
            if group and group not in task_vars["groups"] and group not in known.services:
                wanted.setdefault(group, []).append(name)
                places.setdefault(group, known.where(("groups", group)))
    warnings = []
    for group, names in wanted.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        warnings.append(
            f"{places[group]}: the inventory has no group {group!r}, so nobody is placed there:"
            f" {', '.join(names[:_SHOWN])}{more}{near(group, task_vars['groups'])}"
        )
    return warnings


def without_plan(task_vars: t.Mapping[str, t.Any], plan: t.Mapping[str, t.Any]) -> str:
    """A warning if a host's plan is empty; an empty text if it isn't."""
    if plan.get("endpoints") or plan.get("protocols"):
        return ""
    host = task_vars["inventory_hostname"]
    groups = sorted(
        name
        for name, hosts in task_vars["groups"].items()
        if host in hosts and name not in ("all", "ungrouped")
    )
    told = (
        f"the registry places nothing on {listed(groups)} in the environment"
        f" {plan.get('environment')}"
        if groups
        else "it is in no group of the inventory"
    )
    return f"{host} has no plan: {told}. Put it into a group of the registry, or leave it out."


def host_leases(task_vars: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """The leases of the task's host as plain data; raises AnsibleError if they have faults."""
    host = task_vars["inventory_hostname"]
    groups = {name for name, hosts in task_vars["groups"].items() if host in hosts}
    now = datetime.datetime.now(tz=datetime.UTC)
    try:
        return leases.host_leases(
            current_registry().file, host, groups, now, host_system(task_vars)
        )
    except RegistryError as error:
        raise AnsibleError(str(error)) from None


def refuse_contradictions(
    known: Registry,
    variables: t.Mapping[str, t.Any],
    template: t.Callable[[t.Any], t.Any] | None = None,
) -> None:
    """Raises AnsibleError if a variable gives an endpoint another port than the registry does.

    Such variables are `<service>_<endpoint>_port`, and `<service>_port` for a service's first
    endpoint in use. Without `template` those that are templates aren't looked at: a lookup can't,
    because they may use it.
    """
    faults = []
    for name, value in variables.items():
        endpoints = _named_by(known, name) if name.endswith(_SUFFIX) else []
        if not endpoints or (template is None and Templar().is_template(value)):
            continue
        port = template(value) if template else value
        if str(port) in [str(endpoint.port) for endpoint in endpoints]:
            continue
        endpoint = endpoints[0]
        faults.append(
            f"{_origin(value)}: {name} is {found(port)}, but the registry has {endpoint.port} for"
            f" {endpoint.id} ({known.where((*endpoint.path, 'port'))}). Remove the variable, or"
            " change the port in the registry"
        )
    if faults:
        raise AnsibleError("\n".join(faults))


def _named_by(known: Registry, variable: str) -> list[Endpoint]:
    """The endpoints that the name of a variable can mean."""
    words = variable.removesuffix(_SUFFIX).split("_")
    ids = ("_".join(words[:i]) + "." + "_".join(words[i:]) for i in range(1, len(words)))
    result = [known.endpoints[name] for name in ids if name in known.endpoints]
    service = known.services.get("_".join(words))
    used = [e for e in service.endpoints if e.expect != "silent"] if service else []
    return result + used[:1]


def _origin(value: t.Any) -> str:
    """Where a variable was set."""
    tag = Origin.get_tag(value) if Origin else None
    return str(tag or "a variable of the play")
