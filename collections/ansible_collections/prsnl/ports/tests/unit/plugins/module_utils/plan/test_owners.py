# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a socket is: every kind of owner against who holds it, who doesn't, and who isn't seen."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.plan.owners import (
    OTHER,
    OWNER,
    UNKNOWN,
    ExpectedContainer,
    ExpectedOwner,
    Match,
    brief_holders,
    describe_holders,
    format_start,
    is_owner,
    match_owner,
    what_to_stop,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.containers import PROXIES
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import (
    BECOME,
    Container,
    Holder,
)
from worlds import ADA, NOW, World, daemon, owner


def expect(**given: t.Any) -> ExpectedOwner:
    return ExpectedOwner.from_dict(owner(**given))


def match(expected: ExpectedOwner, world: World) -> Match:
    return match_owner(expected, world.snapshot, world.snapshot.sockets[0])


def holder(process: str, user: str, unit: str | None, pid: int = 1, **more: t.Any) -> Holder:
    return Holder(pid, process, more.pop("executable", None), user, unit, NOW, **more)


NGINX = expect(process=["nginx"], user="root", unit=["nginx.service"])
EXPORTER = expect(process=["prometheus-node-exporter", "node_exporter"], user="prometheus")

# --- processes, users and units ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "holders", "faults"),
    [
        (NGINX, [holder("nginx", "root", "nginx.service")], []),
        (
            NGINX,
            [
                holder("nginx", "root", "nginx.service"),
                holder("nginx", "www-data", "nginx.service", 2),
            ],
            [],
        ),
        (
            NGINX,
            [holder("nginx", "www-data", "nginx.service")],
            ["the user is www-data, expected root"],
        ),
        (
            NGINX,
            [holder("nginx", "root", "nginx.service"), holder("sh", "ada", "nginx.service", 2)],
            ["the process is sh (pid 2), expected nginx"],
        ),
        (
            NGINX,
            [holder("nginx", "root", "nginx.service"), holder("nginx", "root", None, 2)],
            ["the unit is no unit (pid 2), expected nginx.service"],
        ),
        (
            NGINX,
            [ADA],
            [
                "the process is node, expected nginx",
                "the user is ada, expected root",
                "the unit is user@1000.service, expected nginx.service",
            ],
        ),
        (
            NGINX,
            [*(holder("sh", "ada", None, pid) for pid in (2, 3, 4, 5)), holder("rc", "bob", None)],
            [
                "the process is sh (pids 2, 3 and 2 more) and rc (pid 1), expected nginx",
                "the user is ada (pids 2, 3 and 2 more) and bob (pid 1), expected root",
                "the unit is no unit, expected nginx.service",
            ],
        ),
        (EXPORTER, [holder("prometheus-node", "prometheus", None)], []),
        (EXPORTER, [holder("node_exporter", "prometheus", None)], []),
        (
            EXPORTER,
            [holder("prometheus", "prometheus", None)],
            ["the process is prometheus, expected prometheus-node-exporter or node_exporter"],
        ),
        # A thread may have renamed itself; the program is still the same.
        (expect(process=["node"]), [holder("MainThread", "ada", None, executable="/bin/node")], []),
        (expect(process=["app"]), [holder("x", "ada", None, called="app")], []),
        # Any of several units.
        (expect(unit=["ssh.service", "sshd.service"]), [holder("a", "b", "sshd.service")], []),
        (
            expect(unit=["ssh.service", "sshd.service"]),
            [holder("sshd", "root", "rescue-ssh.service")],
            ["the unit is rescue-ssh.service, expected ssh.service or sshd.service"],
        ),
        # Users without a name, and names that are numbers.
        (expect(user="42434"), [holder("a", "42434", None, uid=42434)], []),
        (expect(user="472"), [holder("a", "grafana", None, uid=472)], []),
        (expect(user="0"), [holder("a", "root", None, uid=0)], []),
        (
            expect(user="472"),
            [holder("a", "grafana", None, uid=473)],
            ["the user is grafana, expected 472"],
        ),
        (expect(user="472"), [holder("a", "472", None, uid=1000)], []),
    ],
)
def test_processes(expected: ExpectedOwner, holders: list[Holder], faults: list[str]) -> None:
    found = match(expected, World().hold(80, *holders))
    assert list(found.faults) == faults
    assert found.verdict == (OTHER if faults else OWNER)


def test_nobody_owns_what_has_no_owner() -> None:
    """A retired port of a service that has none: whoever is there, it isn't its daemon."""
    assert match(expect(), World().hold(80, ADA)).verdict == OTHER
    assert match(expect(), World().hold(80)).verdict == OTHER


@pytest.mark.parametrize("expected", [NGINX, expect(container={"engine": None, "name": "web"})])
def test_a_socket_of_no_process(expected: ExpectedOwner) -> None:
    assert match(expected, World().hold(80)) == Match(OTHER)
    assert match(expected, World(obstacle=BECOME).hold(80)) == Match(UNKNOWN, missing=BECOME)


def test_who_is_seen_counts_though_others_are_not() -> None:
    world = World(obstacle=BECOME).hold(80, holder("nginx", "root", "nginx.service"))
    assert match(NGINX, world).verdict == OWNER
    assert match(NGINX, World(obstacle=BECOME).hold(80, ADA)).verdict == OTHER


USERS = "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service"


@pytest.mark.parametrize(
    ("user", "verdict"), [(None, OTHER), ("root", OTHER), ("ada", OWNER), ("1000", OWNER)]
)
def test_a_users_own_unit_is_not_the_systems(user: str | None, verdict: str) -> None:
    """Anyone may have a unit of any name, so that its user has to be the expected one."""
    mine = holder("web", "ada", "web.service", cgroup=USERS, uid=1000)
    found = match(expect(unit=["web.service"], user=user), World().hold(80, mine))
    assert found.verdict == verdict
    if verdict == OTHER:
        assert "the unit is web.service of a user's manager, expected web.service" in found.faults


@pytest.mark.parametrize(
    ("found", "is_like"),
    [
        (holder("nginx", "ada", "session-3.scope"), True),
        (holder("nginx", "www-data", "nginx.service"), True),
        (holder("sh", "root", "nginx.service"), True),
        # Root alone is nobody in particular.
        (holder("sh", "root", "cron.service"), False),
        (ADA, False),
    ],
)
def test_who_looks_like_the_owner(found: Holder, is_like: bool) -> None:
    assert match(NGINX, World().hold(80, found)).is_like is is_like


# --- systemd and launchd on behalf of others -----------------------------------------------------

COCKPIT = expect(process=["cockpit-tls"], user="cockpit", unit=["cockpit.service"])
ACTIVATES = {"cockpit.socket": ("cockpit.service",), "other.socket": ("web.service",)}
INIT = Holder(1, "systemd", "/usr/lib/systemd/systemd", "root", "init.scope", NOW)
FOR_COCKPIT = dataclasses.replace(INIT, unit="cockpit.socket")
FOR_OTHER = dataclasses.replace(INIT, unit="other.socket")
TLS = daemon("cockpit-tls", 9, user="cockpit", unit="cockpit.service")


@pytest.mark.parametrize(
    ("expected", "holders", "verdict", "said"),
    [
        pytest.param(COCKPIT, [FOR_COCKPIT], OWNER, "", id="its service's socket, idle"),
        pytest.param(COCKPIT, [FOR_COCKPIT, TLS], OWNER, "", id="its service's socket, active"),
        pytest.param(
            expect(unit=["cockpit.socket"]), [FOR_COCKPIT], OWNER, "", id="its socket unit, idle"
        ),
        pytest.param(
            expect(unit=["cockpit.socket"]),
            [FOR_COCKPIT, TLS],
            OWNER,
            "",
            id="its socket unit, active",
        ),
        pytest.param(
            COCKPIT,
            [FOR_OTHER],
            OTHER,
            "systemd has it for other.socket, expected cockpit.service",
            id="a stranger's socket unit",
        ),
        pytest.param(
            COCKPIT,
            [FOR_COCKPIT, ADA],
            OTHER,
            "the process is node, expected cockpit-tls",
            id="a stranger shares it",
        ),
        pytest.param(
            expect(process=["cockpit-tls"]),
            [FOR_COCKPIT],
            OTHER,
            "systemd has it for cockpit.socket, expected is no unit",
            id="an owner without a unit, idle",
        ),
        pytest.param(
            expect(process=["cockpit-tls"]),
            [FOR_COCKPIT, TLS],
            OWNER,
            "",
            id="an owner without a unit, active",
        ),
        pytest.param(
            COCKPIT, [INIT], UNKNOWN, "systemctl list-sockets", id="systemd doesn't tell, idle"
        ),
        pytest.param(COCKPIT, [INIT, TLS], OWNER, "", id="systemd doesn't tell, active"),
        pytest.param(
            COCKPIT,
            [INIT, dataclasses.replace(TLS, unit=None)],
            OWNER,
            "",
            id="nobody tells of units, active",
        ),
        pytest.param(
            COCKPIT,
            [INIT, dataclasses.replace(TLS, unit=None, user="ada")],
            OTHER,
            "the user is ada",
            id="nobody tells of units, another user",
        ),
        pytest.param(
            COCKPIT,
            [INIT, ADA],
            OTHER,
            "the process is node, expected cockpit-tls",
            id="systemd doesn't tell, a stranger",
        ),
        pytest.param(
            expect(label="prsnl.web"),
            [Holder(1, "launchd", "/sbin/launchd", "root", None, NOW)],
            UNKNOWN,
            "launchctl print system tells for which",
            id="launchd",
        ),
        pytest.param(
            expect(process=["nginx"]),
            [Holder(1, "nginx", "/usr/sbin/nginx", "root", None, NOW)],
            OWNER,
            "",
            id="a first process that is no manager, as in a container",
        ),
    ],
)
def test_the_first_process(
    expected: ExpectedOwner, holders: list[Holder], verdict: str, said: str
) -> None:
    found = match(expected, World(activates=ACTIVATES).hold(9090, *holders))
    assert found.verdict == verdict
    assert said in "; ".join(found.faults) + found.missing
    assert bool(said) is (verdict != OWNER)


HIS_CGROUP = "/user.slice/user-1000.slice/user@1000.service/init.scope"
HIS_MANAGER = Holder(900, "systemd", None, "ada", "cockpit.socket", NOW, HIS_CGROUP, 1000)


@pytest.mark.parametrize(
    ("expected", "verdict", "said"),
    [
        # Anybody may give a unit of his own any name.
        (
            COCKPIT,
            OTHER,
            "systemd has it for cockpit.socket of a manager of ada, expected cockpit.service",
        ),
        (expect(user="ada", unit=["cockpit.socket"]), OWNER, ""),
        (expect(user="1000", unit=["cockpit.service"]), OWNER, ""),
        (
            expect(user="ada", unit=["web.service"]),
            OTHER,
            "systemd has it for cockpit.socket, expected web.service",
        ),
    ],
)
def test_the_manager_of_a_user(expected: ExpectedOwner, verdict: str, said: str) -> None:
    world = World(activates=ACTIVATES).hold(9090, HIS_MANAGER)
    found = match(expected, world)
    assert (found.verdict, "; ".join(found.faults)) == (verdict, said)
    assert what_to_stop(world.snapshot.sockets, world.snapshot) == "cockpit.socket"


def test_a_service_for_each_connection_is_of_its_socket_unit() -> None:
    inetd = expect(unit=["cockpit@.service"])
    assert match(inetd, World().hold(9090, FOR_COCKPIT)).verdict == OWNER


@pytest.mark.parametrize(
    ("world", "what"),
    [
        (World().hold(80, FOR_COCKPIT), "cockpit.socket"),
        (World().hold(80, FOR_COCKPIT).hold(80, FOR_OTHER), "cockpit.socket and other.socket"),
        (World().hold(80, FOR_COCKPIT).hold(80, ADA), "it"),
        (World().hold(80, INIT), "it"),
        (World().hold(80), "it"),
        (World(), "it"),
    ],
)
def test_a_socket_unit_is_what_has_to_be_stopped(world: World, what: str) -> None:
    assert what_to_stop(world.snapshot.sockets, world.snapshot) == what


# --- launchd labels ------------------------------------------------------------------------------

MAC = expect(process=["nginx"], label="prsnl.nginx")


@pytest.mark.parametrize(
    ("found", "verdict", "said"),
    [
        (holder("nginx", "root", None, label="prsnl.nginx"), OWNER, ""),
        (
            holder("nginx", "ada", None, label="homebrew.mxcl.nginx"),
            OTHER,
            "the launchd label is homebrew.mxcl.nginx, expected prsnl.nginx",
        ),
        (
            holder("nginx", "ada", None, label=""),
            OTHER,
            "the launchd label is none, expected prsnl.nginx",
        ),
        (holder("nginx", "root", None), UNKNOWN, "The launchd label of pid 1 can't be read"),
        # Another program is no question of its label.
        (holder("bun", "root", None), OTHER, "the process is bun, expected nginx"),
    ],
)
def test_launchd_labels(found: Holder, verdict: str, said: str) -> None:
    result = match(MAC, World().hold(80, found))
    assert result.verdict == verdict
    assert said in "; ".join(result.faults) + result.missing
    assert not (result.is_like and found.process == "bun")


# --- containers ----------------------------------------------------------------------------------

WEB, MINER = Container("docker", "web"), Container("docker", "miner")
HERS = Container("docker", "web", uid=1234)
CONTAINER = expect(container={"engine": "docker", "name": "web"})
ANY_ENGINE = expect(container={"engine": None, "name": "web"})
PODMAN = expect(container={"engine": "podman", "name": "web"})
PROXY = daemon("docker-proxy", 7, user="root", unit="docker.service")
INSIDE = daemon("redis-server", 8, user="999", unit=None, cgroup=f"/docker/{'a' * 64}")
LOST = daemon("redis-server", 8, user="999", unit=None, cgroup=f"/docker/{'b' * 64}")


@pytest.mark.parametrize(
    ("expected", "world", "verdict", "said"),
    [
        pytest.param(
            CONTAINER,
            World().hold(80, PROXY, container=WEB, published=True),
            OWNER,
            "",
            id="published, by a proxy",
        ),
        pytest.param(CONTAINER, World().hold(80, container=WEB), OWNER, "", id="without a socket"),
        pytest.param(
            CONTAINER,
            World().hold(80, INSIDE, container=WEB),
            OWNER,
            "",
            id="on the host's network",
        ),
        pytest.param(
            ANY_ENGINE,
            World().hold(80, PROXY, container=WEB, published=True),
            OWNER,
            "",
            id="by whatever engine",
        ),
        pytest.param(
            CONTAINER,
            World().hold(80, PROXY, container=HERS, published=True),
            OTHER,
            "the container is docker container web of 1234, expected docker container web of root",
            id="by the engine of a user who isn't told",
        ),
        pytest.param(
            expect(user="1234", container={"engine": "docker", "name": "web"}),
            World().hold(80, PROXY, container=HERS, published=True),
            OWNER,
            "",
            id="by the engine of a user who is told",
        ),
        pytest.param(
            PODMAN,
            World().hold(80, PROXY, container=WEB, published=True),
            OTHER,
            "the container is docker container web, expected podman container web",
            id="by another engine",
        ),
        pytest.param(
            CONTAINER,
            World().hold(80, PROXY, container=MINER, published=True),
            OTHER,
            "the container is docker container miner, expected docker container web",
            id="another container",
        ),
        pytest.param(
            CONTAINER,
            World().hold(80, container=MINER),
            OTHER,
            "the container is docker container miner",
            id="another container without a socket",
        ),
        pytest.param(
            CONTAINER,
            World().hold(80, PROXY),
            UNKNOWN,
            "docker doesn't tell which container that is: see what docker ps says on the host.",
            id="an engine that doesn't answer",
        ),
        pytest.param(
            CONTAINER,
            World().hold(80, LOST),
            UNKNOWN,
            "doesn't tell which container that is",
            id="a container that its engine doesn't list",
        ),
        pytest.param(
            CONTAINER,
            World().hold(80, ADA),
            OTHER,
            "no container holds it, expected docker container web",
            id="a process of the host",
        ),
        pytest.param(
            expect(process=["redis-server"], container={"engine": None, "name": "web"}),
            World().hold(80, INSIDE, container=WEB),
            OWNER,
            "",
            id="its own process is compared",
        ),
        pytest.param(
            expect(process=["nginx"], container={"engine": None, "name": "web"}),
            World().hold(80, INSIDE, container=WEB),
            OTHER,
            "the process is redis-server, expected nginx",
            id="its own process is another",
        ),
        pytest.param(
            expect(process=["nginx"], container={"engine": None, "name": "web"}),
            World().hold(80, PROXY, container=WEB, published=True),
            OWNER,
            "",
            id="the proxy isn't",
        ),
        pytest.param(
            expect(process=["redis-server"], user="999"),
            World().hold(80, INSIDE, container=WEB),
            OWNER,
            "",
            id="a process that happens to be in a container",
        ),
        pytest.param(
            expect(process=["web"]),
            World().hold(80, PROXY, container=WEB, published=True),
            OTHER,
            "it is published for docker container web, expected web",
            id="a container isn't a process",
        ),
        pytest.param(
            expect(process=["web"]),
            World().hold(80, container=WEB),
            OTHER,
            "it is published for docker container web, expected web",
            id="nor without a socket",
        ),
        pytest.param(
            expect(process=["dockerd"]),
            World().hold(2376, daemon("dockerd", 6)),
            OWNER,
            "",
            id="an engine's own port",
        ),
        pytest.param(
            expect(process=["dockerd"]),
            World().hold(80, daemon("dockerd", 6), container=WEB, published=True),
            OTHER,
            "it is published for docker container web, expected dockerd",
            id="a port that the engine holds for a container",
        ),
    ],
)
def test_containers(expected: ExpectedOwner, world: World, verdict: str, said: str) -> None:
    found = match(expected, world)
    assert found.verdict == verdict
    assert said in "; ".join(found.faults) + found.missing
    assert bool(said) is (verdict != OWNER)


@pytest.mark.parametrize("name", sorted(PROXIES))
@pytest.mark.parametrize("container", [None, WEB])
def test_a_proxy_never_proves_whose_a_port_is(name: str, container: Container | None) -> None:
    """Whatever an owner is called, also by the name of the proxy's program."""
    proxy = daemon("x", 7, user="root", executable=f"/usr/libexec/{name}")
    for found in (daemon(name, 7, user="root"), proxy):
        world = World().hold(80, found, container=container, published=container is not None)
        assert match(expect(process=[name]), world).verdict == OTHER


# --- the kernel ----------------------------------------------------------------------------------

KERNEL = expect(kernel=True)


@pytest.mark.parametrize(
    ("world", "verdict", "said"),
    [
        (World().hold(8472, protocol="udp"), OWNER, ""),
        (World(obstacle=BECOME).hold(8472, protocol="udp"), UNKNOWN, BECOME),
        (World().hold(80, ADA), OTHER, "it is held by node, expected the kernel itself"),
        (
            World().hold(80, container=WEB),
            OTHER,
            "it is held by docker container web, expected the kernel itself",
        ),
    ],
)
def test_the_kernel(world: World, verdict: str, said: str) -> None:
    found = match(KERNEL, world)
    assert (found.verdict, "; ".join(found.faults) + found.missing) == (verdict, said)


def test_a_socket_whose_holders_were_not_asked_for_is_not_the_kernels() -> None:
    snapshot = World().hold(8472).snapshot
    unasked = dataclasses.replace(snapshot, holders={})
    assert not is_owner(KERNEL, unasked, snapshot.sockets[0])
    assert match_owner(NGINX, unasked, snapshot.sockets[0]).verdict == UNKNOWN


# --- for people ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "text", "hint"),
    [
        (NGINX, "nginx (root)", " See its state and log: systemctl status nginx.service"),
        (expect(process=["a", "b"]), "a", ""),
        (
            expect(unit=["a.socket"]),
            "a.socket",
            " See its state and log: systemctl status a.socket",
        ),
        (
            expect(label="prsnl.a"),
            "prsnl.a",
            " See its state and log: launchctl print system/prsnl.a",
        ),
        (CONTAINER, "docker container web", " See its state and log: docker logs web"),
        (ANY_ENGINE, "container web", " See its state and log: docker or podman logs web"),
        (KERNEL, "kernel", ""),
    ],
)
def test_an_owner_is_called_by_what_is_told_of_it(
    expected: ExpectedOwner, text: str, hint: str
) -> None:
    assert (str(expected), expected.hint) == (text, hint)
    assert isinstance(expected.container, (ExpectedContainer, type(None)))


def test_a_crowd_of_holders_is_described_briefly() -> None:
    world = World()
    world.hold(80, *[daemon("nginx", pid) for pid in (11, 12, 13, 14)], ADA)
    text = describe_holders(world.snapshot, world.snapshot.sockets[0], NOW)
    assert text == (
        "nginx (pids 11, 12 and 2 more, user nginx, since 09:14, unit nginx.service)"
        " and node (pid 812, user ada, since 09:14, unit user@1000.service)"
    )


@pytest.mark.parametrize(
    ("process", "executable", "more"),
    [
        ("MainThread", "/usr/bin/node", ", program /usr/bin/node"),
        ("gunicorn: maste", "/usr/bin/python3.11", ", program /usr/bin/python3.11"),
        ("uvicorn", "/usr/bin/python3.11", ", program /usr/bin/python3.11"),
        ("python3", "/usr/bin/python3.11", ""),
        ("prometheus-node", "/usr/bin/prometheus-node-exporter", ""),
        ("nginx", "/usr/sbin/nginx", ""),
        ("nginx", None, ""),
    ],
)
def test_the_program_is_told_where_the_name_does_not_tell_it(
    process: str, executable: str | None, more: str
) -> None:
    one = Holder(8, process, executable, "ada", "app.service", NOW)
    world = World().hold(80, one)
    text = describe_holders(world.snapshot, world.snapshot.sockets[0], NOW)
    assert text == f"{process} (pid 8, user ada, since 12:00, unit app.service{more})"


def test_a_launchd_label_is_told() -> None:
    world = World().hold(80, Holder(8, "nginx", None, "ada", None, 0, label="prsnl.nginx"))
    text = describe_holders(world.snapshot, world.snapshot.sockets[0], NOW)
    assert text == "nginx (pid 8, user ada, launchd label prsnl.nginx)"


def test_a_start_of_another_day_has_its_date() -> None:
    assert format_start(NOW - 86400, NOW) == "2026-03-03 12:00"


def test_who_is_not_seen_is_not_nobody() -> None:
    for world, text in ((World(), "the kernel"), (World(obstacle=BECOME), "unknown")):
        world.hold(80)
        assert brief_holders(world.snapshot, world.snapshot.sockets) == text
