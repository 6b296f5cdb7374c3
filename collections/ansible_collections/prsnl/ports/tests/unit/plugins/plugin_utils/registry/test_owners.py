# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owners in the registry, and that there can be somebody who is each one that is accepted."""

from __future__ import annotations

import json
import pathlib
import typing as t

import hypothesis
import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import (
    OWNER,
    ExpectedOwner,
    match_owner,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets import (
    activation,
    containers,
    darwin,
    linux,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    Container,
    Holder,
    Snapshot,
    Socket,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load, owners, schema
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.owners import Owner
from hypothesis import strategies as st

# That of the project around this collection.
REGISTRY = pathlib.Path(__file__).parents[9] / "registry" / "ports.yml"


@pytest.mark.parametrize(
    ("data", "linux_owner", "darwin_owner"),
    [
        ({"process": "a"}, Owner(("a",)), Owner(("a",))),
        (
            {"process": ["a", "b"], "user": "u", "unit": "a.service", "label": "l"},
            Owner(("a", "b"), "u", ("a.service",)),
            Owner(("a", "b"), "u", label="l"),
        ),
        ({"unit": ["a.service", "b.socket"]}, Owner(unit=("a.service", "b.socket")), None),
        ({"kernel": True}, Owner(kernel=True), None),
        ({"label": "l"}, None, Owner(label="l")),
        ({"container": "c"}, Owner(container="c"), Owner(container="c")),
        (
            {"container": {"engine": "podman", "name": "c"}},
            Owner(engine="podman", container="c"),
            Owner(engine="podman", container="c"),
        ),
        ({"linux": {"process": "a"}}, Owner(("a",)), None),
        ({"darwin": {"container": {"name": "c"}}}, None, Owner(container="c")),
        # Also of faulty data something is made.
        ({"linux": 1, "darwin": []}, None, None),
        ({"process": {"a": 1}, "user": 7, "unit": [1, "a"]}, Owner(unit=("a",)), Owner()),
        (None, None, None),
        ("a", None, None),
    ],
)
def test_an_owner_counts_for_its_systems(
    data: t.Any, linux_owner: Owner | None, darwin_owner: Owner | None
) -> None:
    assert owners.owner_on(data, "linux") == linux_owner
    assert owners.owner_on(data, "darwin") == darwin_owner


def test_the_proxies_are_those_that_the_host_knows() -> None:
    assert frozenset(containers.PROXIES) == owners.PROXIES


@pytest.mark.skipif(not REGISTRY.exists(), reason="the collection is on its own")
def test_what_has_a_role_for_macos_has_an_owner_there() -> None:
    """And what can't run on a Mac has none, so that no plan puts it there."""
    known = load.read(str(REGISTRY))
    without = {e.service for e in known.endpoints.values() if e.owner_on("darwin") is None}
    assert without == {"cadvisor", "elasticsearch", "kibana"}
    assert all(endpoint.owner_on("linux") for endpoint in known.endpoints.values())


# --- whoever is accepted can exist ---------------------------------------------------------------

# Some of these are refused, and the test is about the others.
WORDS = st.text(st.sampled_from("ab.:-_@[1\\é\u200b\u00ad"), min_size=1, max_size=8)
NAMES = st.one_of(
    WORDS,
    st.sampled_from(["python3", "gunicorn: master [x]", "docker-proxy", "7", "a/b", "a b", ""]),
    st.sampled_from(["a" * 255, "a" * 256, "é" * 130, "a" + "é" * 130]),
)
UNITS = st.one_of(
    st.builds("{}{}".format, WORDS, st.sampled_from([".service", ".socket"])),
    st.sampled_from(["a", "a.timer", "a@.service", "a@b.service", "_a.socket", ".a.service"]),
)
CONTAINERS = st.one_of(
    st.sampled_from(["a", "a_b.c-1", "-a"]),
    st.fixed_dictionaries(
        {"name": st.sampled_from(["a", "ab", "a/b"])},
        optional={"engine": st.sampled_from(["docker", "podman"])},
    ),
)


def some(names: st.SearchStrategy[str]) -> st.SearchStrategy[t.Any]:
    return st.one_of(names, st.lists(names, min_size=1, max_size=3))


PLAIN = st.fixed_dictionaries(
    {},
    optional={
        "process": some(NAMES),
        "user": NAMES,
        "unit": some(UNITS),
        "label": NAMES,
        "container": CONTAINERS,
    },
)
GIVEN = st.one_of(
    PLAIN,
    st.just({"kernel": True}),
    st.fixed_dictionaries({}, optional={"linux": PLAIN, "darwin": PLAIN}),
)
PORT = 20000
SCHEMA = schema.Schema("owner.schema.json")


def on_linux(owner: Owner) -> Snapshot:
    """A host of the owner, as the kernel, systemd and the engines would tell of it."""
    name = (owner.process or ("app",))[0]
    comm = name.encode()[:15].decode(errors="replace")
    stat = f"8 ({comm}) S " + " ".join(str(number) for number in range(4, 53))
    file = name if len(name.encode()) <= 255 else comm
    unit = next(iter(owner.unit), "app.service")
    service = f"{unit.rpartition('.')[0]}.service"
    # cg_escape() of systemd.
    cgroup = f"0::/system.slice/{'_' if service[0] in '_.' else ''}{service}\n"
    holder = Holder(
        8,
        linux.parse_stat(stat)[0],
        printable(f"/usr/bin/{file}"),
        owner.user or "app",
        linux.parse_unit(linux.parse_cgroup(cgroup)),
        0,
    )
    holders = [holder]
    activates: dict[str, tuple[str, ...]] = {}
    if unit.endswith(".socket"):
        (told,) = activation.parse_socket_units(
            f"Id={unit}\nActiveState=active\nListen=[::]:{PORT} (Stream)\nTriggers={holder.unit}\n"
        )
        holders.append(Holder(1, "systemd", None, "root", told.name, 0))
        activates[told.name] = told.services
    return snapshot_of([] if owner.kernel else holders, owner, activates)


def on_darwin(owner: Owner) -> Snapshot:
    """A Mac of the owner."""
    name = (owner.process or ("app",))[0]
    info = darwin.BsdInfo()
    info.name = name.encode()[:31]
    read = darwin.parse_process(8, info, printable(f"/opt/{name}"))
    holder = Holder(
        8, read.process, read.executable, owner.user or "app", None, 0, label=owner.label or ""
    )
    return snapshot_of([holder], owner, {})


def snapshot_of(
    holders: list[Holder], owner: Owner, activates: dict[str, tuple[str, ...]]
) -> Snapshot:
    container = listed_container(owner) if owner.container else None
    sock = Socket("tcp", "::", PORT, False, 0, 5, container)
    return Snapshot((sock,), {5: tuple(holders)}, None, True, activates)


def listed_container(owner: Owner) -> Container:
    """What the engine says of it."""
    if owner.engine == "podman":
        text = json.dumps([{"Id": "1", "Names": [owner.container], "Ports": None}])
        return containers.parse_podman(text).by_id["1"]
    return containers.parse_docker(
        json.dumps({"ID": "1", "Names": owner.container, "Ports": ""})
    ).by_id["1"]


@hypothesis.given(GIVEN)
@hypothesis.settings(
    max_examples=300, suppress_health_check=[hypothesis.HealthCheck.filter_too_much]
)
def test_whoever_is_accepted_can_exist(data: dict[str, t.Any]) -> None:
    """What could never match is refused; of what is accepted, there is somebody who is it."""
    faults = [*SCHEMA.faults(data), *owners.owner_faults((), data)]
    hypothesis.assume(not faults)
    accepted = 0
    for system, make in (("linux", on_linux), ("darwin", on_darwin)):
        owner = owners.owner_on(data, system)
        if owner is None:
            continue
        accepted += 1
        snapshot = make(owner)
        expected = ExpectedOwner.from_dict(owner.as_dict())
        assert match_owner(expected, snapshot, snapshot.sockets[0]).verdict == OWNER
    assert accepted
