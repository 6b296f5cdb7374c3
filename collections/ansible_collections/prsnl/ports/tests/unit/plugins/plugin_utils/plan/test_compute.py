# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: examples, and laws that hold for every registry and inventory."""

from __future__ import annotations

import ipaddress
import itertools
import json
import pathlib
import typing as t

import hypothesis
import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.plan import compute
from ansible_collections.prsnl.ports.plugins.plugin_utils.plan.compute import (
    Host,
    PlanError,
    Topology,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load, rules
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Endpoint, Registry
from hypothesis import strategies as st

BASE = (pathlib.Path(__file__).parents[1] / "registry" / "base.yml").read_bytes()


def example(**changes: t.Any) -> dict[str, t.Any]:
    """An endpoint of the store on the host `back1`, in the base registry with changes."""
    loaded = load.parse(BASE, "ports.yml")
    data = loaded.data["services"]["store"]["endpoints"]["sql"]
    data.update(changes)
    known = Registry.from_data(loaded.data, "ports.yml", BASE)
    result = compute.compute_plan(known, INVENTORY, "back1").as_dict()
    return next(e for e in result["endpoints"] if e["id"] == "store.sql")


INVENTORY = Topology(
    groups={"all": ["front1", "back1", "spare"], "front": ["front1"], "back": ["back1"]},
    hosts={
        "front1": Host("production", ("198.51.100.1", "2001:db8::1")),
        "back1": Host("production", ("198.51.100.2",)),
        "spare": Host("staging", ("198.51.100.3",)),
    },
)


def test_an_internal_endpoint_is_for_its_consumers() -> None:
    """The whole of it, once."""
    assert example() == {
        "id": "store.sql",
        "service": "store",
        "name": "sql",
        "description": "The store",
        "port": 21001,
        "protocol": "tcp",
        "status": "critical",
        "expect": "bound",
        "exposure": "internal",
        "listen": ["0.0.0.0", "::"],
        "allowed": ["0.0.0.0/0", "::/0"],
        "sources": [
            {"consumer": "shop", "host": "front1", "cidr": "198.51.100.1/32"},
            {"consumer": "shop", "host": "front1", "cidr": "2001:db8::1/128"},
            {"consumer": "office", "host": None, "cidr": "192.0.2.0/24"},
        ],
        "owner": {
            "process": ["store", "stored"],
            "user": None,
            "unit": [],
            "label": None,
            "container": None,
            "kernel": False,
        },
        "probe": "tcp",
        "tls": False,
        "server_name": None,
        "device": None,
        "metrics": None,
        "routes": {},
        "browser_origin": False,
        "broadcast": False,
    }


def protocols(host: str, **entry: t.Any) -> list[dict[str, t.Any]]:
    """What a host's plan has of an IP protocol in the base registry."""
    loaded = load.parse(BASE, "ports.yml")
    given: dict[str, t.Any] = {"description": "Test", "protocol": "vrrp", "hosts": "front"}
    given |= {"environments": ["production"], "consumers": ["front", "office"]}
    loaded.data["protocols"] = {"addresses": given | entry}
    known = Registry.from_data(loaded.data, "ports.yml", BASE)
    found: list[dict[str, t.Any]] = compute.compute_plan(known, INVENTORY, host).as_dict()[
        "protocols"
    ]
    return found


def test_a_protocol_without_ports_is_for_its_consumers() -> None:
    office = {"consumer": "office", "host": None, "cidr": "192.0.2.0/24"}
    assert protocols("front1") == [{"id": "addresses", "number": 112, "sources": (office,)}]
    assert protocols("back1") == protocols("front1", environments=["staging"]) == []
    (back,) = protocols("back1", hosts="all", protocol=253)
    assert back["number"] == 253
    assert [source["cidr"] for source in back["sources"]] == [
        "198.51.100.1/32",
        "2001:db8::1/128",
        "192.0.2.0/24",
    ]
    (anybody,) = protocols("front1", exposure="public", consumers=[])
    assert [source["cidr"] for source in anybody["sources"]] == ["0.0.0.0/0", "::/0"]


def test_consumers_on_the_same_host_use_loopback() -> None:
    """And nobody else can."""
    found = example(consumers=["back", "store"])
    assert (found["listen"], found["sources"]) == (["127.0.0.1"], [])
    assert found["allowed"] == ["127.0.0.0/8", "::1/128"]


def test_a_consumer_of_another_environment_stays_out() -> None:
    """`all` includes the host in staging."""
    assert {source["host"] for source in example(consumers=["all"])["sources"]} == {"front1"}


def test_a_source_is_named_once() -> None:
    """By the first consumer that brings it."""
    sources = example(consumers=["front", "shop", "all"])["sources"]
    assert [source["cidr"] for source in sources] == ["198.51.100.1/32", "2001:db8::1/128"]
    assert {source["consumer"] for source in sources} == {"front"}


def test_everybody_is_a_source_of_a_public_endpoint() -> None:
    """In both families."""
    found = example(exposure="public", consumers=[])
    assert [source["cidr"] for source in found["sources"]] == ["0.0.0.0/0", "::/0"]


def test_given_addresses_are_the_only_ones() -> None:
    """To listen on and to be bound to."""
    found = example(addresses=["198.51.100.2"])
    assert (found["listen"], found["allowed"]) == (["198.51.100.2"], ["198.51.100.2/32"])


def test_networks_are_merged() -> None:
    """Into as few as cover them."""
    loaded = load.parse(BASE, "ports.yml")
    loaded.networks["office"] = ("192.0.2.0/25", "192.0.2.128/25", "192.0.2.64/26")
    endpoint = loaded.endpoints["store.sql"]
    endpoint.consumers = ("office",)
    planned = compute.plan_endpoint(loaded, INVENTORY, "back1", endpoint)
    assert [source.cidr for source in planned.sources] == ["192.0.2.0/24"]


def test_targets_from_elsewhere_and_from_the_host_itself() -> None:
    """By address from elsewhere, over loopback from the same host."""
    known = load.parse(BASE, "ports.yml")
    sql = known.endpoints["store.sql"]
    assert compute.targets(known, INVENTORY, "front1", sql) == [
        compute.Target("back1", "198.51.100.2", 21001, False)
    ]
    assert compute.targets(known, INVENTORY, "back1", sql) == [
        compute.Target("back1", "127.0.0.1", 21001, True)
    ]
    assert compute.targets(known, INVENTORY, "spare", sql) == []
    assert compute.targets(known, INVENTORY, "back1", known.endpoints["store.old"]) == []


@pytest.mark.parametrize(
    ("changes", "speaks"),
    [
        ({"probe": "postgres"}, True),
        ({"probe": "redis"}, True),
        ({"probe": "postgres", "tls": False}, False),
        ({"probe": "http"}, False),
        ({"probe": "http", "tls": True}, True),
        # Nobody else comes, so nothing crosses a network.
        ({"probe": "redis", "tls": True, "consumers": ["store"]}, False),
        ({"probe": "tls", "consumers": ["store"]}, True),
    ],
)
def test_databases_speak_tls_to_other_hosts(changes: dict[str, t.Any], speaks: bool) -> None:
    assert example(**changes)["tls"] is speaks
    loaded = load.parse(BASE, "ports.yml")
    loaded.data["services"]["store"]["endpoints"]["sql"].update(changes)
    known = Registry.from_data(loaded.data, "ports.yml", BASE)
    for host in ("back1", "front1"):
        found = compute.targets(known, INVENTORY, host, known.endpoints["store.sql"])
        is_remote = host != "back1" and changes.get("tls") is not False
        expected = speaks or (is_remote and changes["probe"] == "redis")
        assert [target.tls for target in found] == [expected]


def test_a_server_has_tls_for_all_of_its_ports() -> None:
    """One port has clients on other hosts, the other hasn't."""
    loaded = load.parse(BASE, "ports.yml")
    endpoints = loaded.data["services"]["store"]["endpoints"]
    endpoints["sql"].update(probe="redis", consumers=["store"])
    endpoints["admin"] = {**endpoints["sql"], "port": 21009, "probe": "http", "consumers": ["shop"]}
    for wanted in (True, False):
        endpoints["admin"]["tls"] = wanted
        known = Registry.from_data(loaded.data, "ports.yml", BASE)
        plan = compute.compute_plan(known, INVENTORY, "back1").as_dict()
        found = {e["name"]: e["tls"] for e in plan["endpoints"] if e["service"] == "store"}
        assert (found["sql"], found["admin"]) == (wanted, wanted)


def test_a_target_is_reached_in_a_family_in_which_it_listens() -> None:
    """The other addresses of the host don't answer."""
    front = Host("production", ("198.51.100.1", "2001:db8::1"), ("ipv6",))
    topology = Topology(INVENTORY.groups, {**INVENTORY.hosts, "front1": front})
    known = load.parse(BASE, "ports.yml")
    targets = compute.targets(known, topology, "back1", known.endpoints["shop.http"])
    assert [target.address for target in targets] == ["2001:db8::1"]


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        (b'"0.0.0.0"', ("0.0.0.0/0",)),
        (b'"::"', ("0.0.0.0/0", "::/0")),
        (b'"10.0.0.5"', ("10.0.0.5/32",)),
        (b'"2001:db8::1"', ("2001:db8::1/128",)),
    ],
)
def test_addresses_allow_what_a_socket_on_them_receives(
    given: bytes, allowed: tuple[str, ...]
) -> None:
    source = BASE.replace(b"port: 20001\n", b"port: 20001\n        addresses: [%s]\n" % given)
    known = load.parse(source, "ports.yml")
    plan = compute.compute_plan(known, INVENTORY, "front1")
    (planned,) = [p for p in plan.endpoints if p.endpoint.id == "shop.http"]
    assert planned.allowed == allowed


@pytest.mark.parametrize(
    ("first", "second", "meet"),
    [
        (b"eth0", b"eth1", False),
        (b"eth0", b"eth0", True),
        (b"eth0", None, True),
        (None, b"eth0", True),
    ],
)
def test_services_of_different_devices_share_a_port(
    first: bytes | None, second: bytes | None, meet: bool
) -> None:
    """As two DHCP servers do, each for the guests on its own bridge."""
    source = BASE.replace(b"to: 20001", b"to: 21001").replace(
        b"port: 20001\n", b"port: 21001\n        exception: As the inventory has it\n"
    )
    for name, device in ((b"http", first), (b"sql", second)):
        if device:
            start = source.index(b"      %s:\n" % name)
            place = source.index(b"port: 21001\n", start)
            source = source[:place] + b"device: %s\n        " % device + source[place:]
    known = load.parse(source, "ports.yml")
    topology = Topology(
        groups={"front": ["one"], "back": ["one"]}, hosts={"one": Host("production")}
    )
    if meet:
        with pytest.raises(PlanError, match="21001/tcp is wanted twice"):
            compute.compute_plan(known, topology, "one")
    else:
        assert compute.compute_plan(known, topology, "one").endpoints


def test_two_services_of_different_groups_meet_on_a_host() -> None:
    """Which only the inventory shows."""
    source = BASE.replace(b"to: 20001", b"to: 21001").replace(
        b"port: 20001\n", b"port: 21001\n        exception: As the inventory has it\n"
    )
    known = load.parse(source, "ports.yml")
    topology = Topology(
        groups={"front": ["one"], "back": ["one"]}, hosts={"one": Host("production")}
    )
    with pytest.raises(PlanError) as caught:
        compute.compute_plan(known, topology, "one")
    assert str(caught.value) == (
        "one: 21001/tcp is wanted twice: by shop.http (fixed, ports.yml:29) and by store.sql"
        " (critical, ports.yml:48). Give one of them another port, or place them on different hosts"
    )


def test_two_services_of_different_groups_with_one_owner_meet_on_a_host() -> None:
    """Each group has its own, so that the registry alone has no fault."""
    owner = "{process: shop, user: shop, unit: shop.service}"
    text = BASE.decode().replace("{process: [store, stored]}", owner).encode()
    known = load.parse(text, "ports.yml")
    assert compute.compute_plan(known, INVENTORY, "back1").endpoints
    groups = {**INVENTORY.groups, "back": ["back1", "front1"]}
    with pytest.raises(PlanError) as caught:
        compute.compute_plan(known, Topology(groups, INVENTORY.hosts), "front1")
    assert (
        "front1: shop.http (ports.yml:29) and store.cluster (ports.yml:52) have the same unit"
        in (str(caught.value))
    )


def test_an_address_that_is_needed_and_unknown() -> None:
    """It says whose, for whom, and what to set."""
    hosts = {**INVENTORY.hosts, "front1": Host("production")}
    topology = Topology(INVENTORY.groups, hosts)
    known = load.parse(BASE, "ports.yml")
    assert compute.compute_plan(known, topology, "front1").endpoints
    with pytest.raises(PlanError, match=r"^front1: its address is needed for back1 and unknown"):
        compute.compute_plan(known, topology, "back1")


@pytest.mark.parametrize("environment", ["", "prod"])
def test_an_unknown_environment(environment: str) -> None:
    """It lists those of the registry."""
    topology = Topology({}, {"one": Host(environment)})
    with pytest.raises(PlanError) as caught:
        compute.compute_plan(load.parse(BASE, "ports.yml"), topology, "one")
    assert str(caught.value) == (
        f"one: port_environment is {environment or 'not set'!r}; set it to one of the registry's"
        " environments: staging, production"
    )


BOTH = {"linux": {"unit": "store.service"}, "darwin": {"label": "prsnl.store"}}


@pytest.mark.parametrize(
    ("owner", "system", "expected"),
    [
        (BOTH, "linux", {"unit": ["store.service"]}),
        (BOTH, "darwin", {"label": "prsnl.store"}),
        (
            {"process": "store", "unit": "store.service", "label": "prsnl.store"},
            "linux",
            {"process": ["store"], "unit": ["store.service"]},
        ),
        (
            {"process": "store", "unit": "store.service", "label": "prsnl.store"},
            "darwin",
            {"process": ["store"], "label": "prsnl.store"},
        ),
        ({"kernel": True}, "linux", {"kernel": True}),
        ({"kernel": True}, "darwin", None),
        ({"unit": "store.service"}, "darwin", None),
        ({"label": "prsnl.store"}, "linux", None),
        ({"linux": {"process": "store"}}, "darwin", None),
        ({"darwin": {"container": "store"}}, "linux", None),
    ],
)
def test_a_plan_has_the_owner_of_its_hosts_system(
    owner: dict[str, t.Any], system: str, expected: dict[str, t.Any] | None
) -> None:
    """And says which system that is; without an owner there, it is refused."""
    loaded = load.parse(BASE, "ports.yml")
    loaded.data["services"]["store"]["owner"] = owner
    known = Registry.from_data(loaded.data, "ports.yml", BASE)
    host = Host("production", ("198.51.100.2",), system=system)
    topology = Topology(INVENTORY.groups, {**INVENTORY.hosts, "back1": host})
    if expected is None:
        with pytest.raises(PlanError) as caught:
            compute.compute_plan(known, topology, "back1")
        # A retired port needs none.
        assert str(caught.value).splitlines() == [
            f"back1: {name} (ports.yml:{line}) has no owner on {system}, so nobody could tell whose"
            f" {label} is there. Name one under owner, place it on other hosts, or set port_system"
            f" of back1 if it isn't {system}"
            for name, line, label in (
                ("store.cluster", 52, "7/udp"),
                ("store.sql", 47, "21001/tcp"),
            )
        ]
        return
    plan = compute.compute_plan(known, topology, "back1").as_dict()
    nobody: dict[str, t.Any] = {
        "process": [],
        "user": None,
        "unit": [],
        "label": None,
        "container": None,
    }
    assert plan["system"] == system
    for endpoint in plan["endpoints"]:
        assert endpoint["owner"] == {**nobody, "kernel": False, **expected}


def test_an_unknown_system() -> None:
    """Of the host itself: what others run doesn't matter."""
    host = Host("production", ("198.51.100.2",), system="win32nt")
    topology = Topology(INVENTORY.groups, {**INVENTORY.hosts, "back1": host})
    known = load.parse(BASE, "ports.yml")
    assert compute.compute_plan(known, topology, "front1").system == "linux"
    with pytest.raises(PlanError) as caught:
        compute.compute_plan(known, topology, "back1")
    assert str(caught.value) == (
        "back1: its system is 'win32nt', allowed are linux and darwin (macOS). Set port_system of"
        " back1 if that is wrong"
    )


HOSTS = ["h0", "h1", "h2", "h3"]
GROUPS = ["g0", "g1", "g2"]
SERVICES = ["s0", "s1", "s2", "s3"]
NETWORKS = {"n0": ["192.0.2.0/24", "192.0.2.128/25"], "n1": ["2001:db8:1::/48"]}
ENVIRONMENTS = ["e0", "e1"]
ADDRESSES = ["127.0.0.1", "::1", "198.51.100.200", "0.0.0.0", "::", "2001:db8::200"]

LOOPBACK_ONLY = [{"127.0.0.1"}, {"::1"}, {"127.0.0.1", "::1"}]


def subsets(items: t.Sequence[str], min_size: int = 0) -> st.SearchStrategy[list[str]]:
    """Some of the items, each once."""
    return st.lists(st.sampled_from(items), unique=True, min_size=min_size)


def endpoints() -> st.SearchStrategy[dict[str, t.Any]]:
    """The data of an endpoint; few ports, so that there are conflicts."""
    return st.fixed_dictionaries(
        {
            "port": st.integers(20000, 20005),
            "status": st.sampled_from(["critical", "fixed", "alternative", "retired", "reserved"]),
            "exposure": st.sampled_from(["host", "internal", "public"]),
            "consumers": subsets([*GROUPS, *SERVICES, *NETWORKS, "all"], min_size=1),
        },
        optional={
            "protocol": st.sampled_from(["tcp", "udp"]),
            "addresses": subsets(ADDRESSES, min_size=1),
            "environments": subsets(ENVIRONMENTS, min_size=1),
        },
    )


@st.composite
def registries(draw: st.DrawFn) -> Registry:
    """Registries whose parts are valid, though their ports may conflict."""
    services: dict[str, dict[str, t.Any]] = {}
    for name in draw(subsets(SERVICES)):
        services[name] = {
            "hosts": draw(st.sampled_from([*GROUPS, "all"])),
            "owner": {"process": name},
            "environments": draw(subsets(ENVIRONMENTS, min_size=1)),
            "endpoints": draw(
                st.dictionaries(st.sampled_from(["a", "b"]), endpoints(), min_size=1)
            ),
        }
        for endpoint in services[name]["endpoints"].values():
            if endpoint["exposure"] == "host":
                endpoint.pop("addresses", None)
    return Registry.from_data(
        {
            "environments": dict.fromkeys(ENVIRONMENTS, "x"),
            "networks": {name: {"cidrs": cidrs} for name, cidrs in NETWORKS.items()},
            "services": services,
        }
    )


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """Inventories in which groups may be missing, empty or overlap."""
    groups = {name: draw(subsets(HOSTS)) for name in draw(subsets(GROUPS))}
    families = st.sampled_from([("ipv4",), ("ipv6",), ("ipv4", "ipv6")])
    return Topology(
        groups={**groups, "all": HOSTS},
        hosts={
            host: Host(
                draw(st.sampled_from(ENVIRONMENTS)),
                (f"198.51.100.{number}", f"2001:db8::{number}"),
                draw(families),
            )
            for number, host in enumerate(HOSTS, start=1)
        },
    )


def meet(one: str, other: str) -> bool:
    """Whether sockets on two addresses meet, said anew: a socket on `::` is dual-stack."""
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    if str(first) == "::" or str(second) == "::":
        return True
    if first.version != second.version:
        return False
    return first == second or "0.0.0.0" in (one, other)


def conflicts(known: Registry, topology: Topology, host: str) -> bool:
    """Whether two endpoints of a host are in each other's way, found by looking at all pairs."""
    environment = topology.hosts[host].environment
    planned = [
        compute.plan_endpoint(known, topology, host, endpoint)
        for endpoint in known.endpoints.values()
        if environment in endpoint.environments
        and host in topology.groups.get(known.services[endpoint.service].hosts, [])
    ]
    for one, other in itertools.combinations(planned, 2):
        a, b = one.endpoint, other.endpoint
        if (a.port, a.protocol) != (b.port, b.protocol):
            continue
        silent = [e for e in (a, b) if e.expect == "silent"]
        if len(silent) == 1 or {a.status, b.status} == {"reserved"}:
            return True
        if any(meet(x, y) for x in one.listen for y in other.listen):
            return True
    return False


@pytest.mark.slow
@hypothesis.given(registries(), topologies(), st.sampled_from(HOSTS))
@hypothesis.settings(max_examples=500)
def test_laws(known: Registry, topology: Topology, host: str) -> None:
    """What is true of every plan."""
    if conflicts(known, topology, host):
        with pytest.raises(PlanError, match="is wanted twice"):
            compute.compute_plan(known, topology, host)
        return
    computed = compute.compute_plan(known, topology, host)
    assert computed == compute.compute_plan(known, topology, host)
    data = computed.as_dict()
    assert json.loads(json.dumps(data)) == data
    keys = [(e["port"], e["protocol"], e["id"]) for e in data["endpoints"]]
    assert keys == sorted(set(keys))
    here = topology.hosts[host]
    for endpoint in data["endpoints"]:
        listen = [ipaddress.ip_address(address) for address in endpoint["listen"]]
        allowed = [ipaddress.ip_network(cidr) for cidr in endpoint["allowed"]]
        given = known.endpoints[endpoint["id"]].addresses
        if endpoint["expect"] == "silent":
            assert [listen, allowed, endpoint["sources"]] == [[], [], []]
            continue
        assert listen
        assert all(any(address in network for network in allowed) for address in listen)
        if endpoint["exposure"] == "host":
            assert all(address.is_loopback for address in listen)
            assert not endpoint["sources"]
        elif not given:
            reachable = [not address.is_loopback for address in listen]
            assert all(reachable) if endpoint["sources"] else not any(reachable)
        if not given:
            versions = {f"ipv{address.version}" for address in listen}
            assert versions <= set(here.families)
        cidrs = [source["cidr"] for source in endpoint["sources"]]
        assert len(set(cidrs)) == len(cidrs)
        assert not {f"{a}/32" for a in here.addresses} & set(cidrs)
        for source in endpoint["sources"]:
            check_source(known, topology, here, endpoint, source)


def check_source(
    known: Registry,
    topology: Topology,
    here: Host,
    endpoint: dict[str, t.Any],
    source: dict[str, t.Any],
) -> None:
    """A source is one that the registry has declared."""
    consumer, other = source["consumer"], source["host"]
    if consumer == "public":
        assert endpoint["exposure"] == "public"
        return
    assert consumer in known.endpoints[endpoint["id"]].consumers
    network = ipaddress.ip_network(source["cidr"])
    if other is None:
        assert any(network == ipaddress.ip_network(cidr) for cidr in NETWORKS[consumer])
        return
    assert network.num_addresses == 1
    assert str(network.network_address) in topology.hosts[other].addresses
    assert topology.hosts[other].environment == here.environment
    service = known.services.get(consumer)
    assert other in topology.groups[service.hosts if service else consumer]
    targets = compute.targets(known, topology, other, known.endpoints[endpoint["id"]])
    assert any(not target.local and target.port == endpoint["port"] for target in targets)


@hypothesis.given(registries(), topologies())
def test_targets_are_the_hosts_that_serve(known: Registry, topology: Topology) -> None:
    """An endpoint is a target exactly where it is in the plan, and on this host first."""
    for host, endpoint in itertools.product(HOSTS, known.endpoints.values()):
        targets = compute.targets(known, topology, host, endpoint)
        served = compute.serving_hosts(known, topology, endpoint, host)
        if endpoint.expect == "silent":
            assert targets == []
        elif endpoint.exposure == "host" or set(endpoint.addresses) in LOOPBACK_ONLY:
            assert [target.host for target in targets] == [h for h in served if h == host]
        else:
            assert sorted(target.host for target in targets) == sorted(served)
        assert not {target.address for target in targets} & {"0.0.0.0", "::"}
        assert [target.local for target in targets] == sorted(
            (target.host == host for target in targets), reverse=True
        )


def default_listen(endpoint: Endpoint) -> tuple[str, ...]:
    """Where an endpoint may listen, whatever the inventory."""
    loopback = endpoint.exposure == "host"
    return endpoint.addresses or (("127.0.0.1", "::1") if loopback else ("0.0.0.0", "::"))


def clash(known: Registry, a: Endpoint, b: Endpoint) -> bool:
    """Whether two endpoints can't both be in the registry."""
    if (a.port, a.protocol) != (b.port, b.protocol):
        return False
    if not set(a.environments) & set(b.environments):
        return False
    statuses = {a.status, b.status}
    groups = {known.services[e.service].hosts for e in (a, b)}
    together = len(groups) == 1 or "all" in groups
    if "silent" in (a.expect, b.expect):
        if a.expect == b.expect:
            return together and statuses == {"reserved"}
        return together or "retired" in statuses
    return together and any(meet(x, y) for x in default_listen(a) for y in default_listen(b))


@pytest.mark.slow
@hypothesis.given(registries())
@hypothesis.settings(max_examples=300)
def test_conflicts_are_found_without_looking_at_all_pairs(known: Registry) -> None:
    """The registry has one if and only if some pair has one."""
    expected = any(
        clash(known, a, b) for a, b in itertools.combinations(known.endpoints.values(), 2)
    )
    assert bool(list(rules._conflicts(known))) == expected
