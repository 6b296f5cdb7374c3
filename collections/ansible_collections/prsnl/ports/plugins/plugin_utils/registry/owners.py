# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is expected to hold a socket, on each system, as the registry and the leases say it."""

from __future__ import annotations

import dataclasses
import itertools
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import Fault, Path, found

LINUX: t.Final = "linux"
DARWIN: t.Final = "darwin"
SYSTEMS: t.Final = (LINUX, DARWIN)
# Programs by which engines hold the ports of their containers, and which hold nothing else. A test
# compares them with what the host takes for such.
PROXIES: t.Final = frozenset(
    (
        "conmon",
        "conmonrs",
        "docker-proxy",
        "docker-proxy-current",
        "gvforwarder",
        "gvproxy",
        "netavark",
        "passt",
        "passt.avx2",
        "pasta",
        "pasta.avx2",
        "rootlesskit",
        "rootlesskit-docker-proxy",
        "rootlessport",
        "rootlessport-child",
        "slirp4netns",
        "vpnkit",
    )
)
# Without these a host doesn't boot, has no network, or lets nobody in.
_SYSTEM_UNIT: t.Final = re.compile(
    r"(systemd-.*|dbus|dbus-broker|dbus-org\..*|sshd?|sshd?@.*|(.*-)?getty(@.*)?|autovt@.*"
    r"|user@.*|user-runtime-dir@.*|polkit|networking|network|ifup@.*|NetworkManager(-.*)?"
    r"|connman|wpa_supplicant(@.*)?|nftables|iptables|ip6tables|netfilter-persistent|firewalld"
    r"|ufw|emergency|rescue|display-manager|udev|kmod|dracut-.*|initrd-.*|-)\.(service|socket)\Z"
)
# As groups, users and processes: those of all, none that is given, and whatever there is.
ALL: t.Final = "all"
ANYWHERE: t.Final = "*"
_NONE: t.Final = ""
# As the schema has it: each of an owner's units may have each of its processes.
_MOST_NAMES: t.Final = 20
_ANY: t.Final = "*"
# What only one system has.
_FOREIGN: t.Final = {LINUX: ("label",), DARWIN: ("unit", "system", "kernel")}


@dataclasses.dataclass(slots=True)
class Owner:
    """Who is expected to hold a socket on a system; what is empty or None doesn't matter."""

    process: tuple[str, ...] = ()
    user: str | None = None
    unit: tuple[str, ...] = ()
    label: str | None = None
    engine: str | None = None
    container: str | None = None
    kernel: bool = False

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data, ready for JSON. Every key is there."""
        return {
            "process": list(self.process),
            "user": self.user,
            "unit": list(self.unit),
            "label": self.label,
            "container": {"engine": self.engine, "name": self.container}
            if self.container
            else None,
            "kernel": self.kernel,
        }


def owner_on(data: t.Any, system: str) -> Owner | None:
    """The owner on a system, of the plain data of a registry or a lease; None if there is none.

    What isn't given by system counts for both, but a unit and the kernel for Linux only and a label
    for macOS only. A registry is mostly about other hosts, so this is done when it is asked for.
    """
    given = _mapping(data)
    if any(name in given for name in SYSTEMS):
        own = _mapping(given.get(system))
    else:
        own = {key: value for key, value in given.items() if key not in _FOREIGN[system]}
    if not own:
        return None
    container = own.get("container")
    parts = container if isinstance(container, dict) else {"name": container}
    return Owner(
        process=_texts(own.get("process")),
        user=_text(own.get("user")),
        unit=_texts(own.get("unit")),
        label=_text(own.get("label")),
        engine=_text(parts.get("engine")),
        container=_text(parts.get("name")),
        kernel=own.get("kernel") is True,
    )


_Holder = tuple[str, Path]


class Identities:
    """Keeps which service is told by which unit, label or container, on one system.

    Two are told apart by their users or their processes too, where both have them. Each claim is a
    few look-ups, however many there are.
    """

    def __init__(self) -> None:
        self._first: dict[tuple[t.Any, ...], _Holder] = {}

    def claim(self, owner: Owner, holder: _Holder, group: str) -> tuple[str, str, _Holder] | None:
        """Claims an owner for a service on a group, or on all hosts; else what and who has it.

        `holder` is the service and the path of its owner.
        """
        known: list[tuple[str, str, str | None]] = [
            ("unit", unit, owner.user) for unit in owner.unit[:_MOST_NAMES]
        ]
        known += [
            (kind, name, None)
            for kind, name in (("label", owner.label), ("container", owner.container))
            if name is not None
        ]
        other = None
        for kind, name, user in known:
            takes, meets = _matches((user,) if user else ()), _matches(owner.process)
            for place in (ANYWHERE,) if group == ALL else (group, ALL):
                for key in itertools.product((kind,), (name,), (place,), takes[1], meets[1]):
                    first = self._first.get(key)
                    if first is not None and first[0] != holder[0]:
                        other = other or (kind, name, first)
            for key in itertools.product((kind,), (name,), (group, ANYWHERE), takes[0], meets[0]):
                self._first.setdefault(key, holder)
        return other


def _matches(names: t.Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What names are kept under, and what they may be; without any they may be all."""
    given = tuple(itertools.islice(names, _MOST_NAMES))
    return ((*given, _ANY) if given else (_NONE, _ANY), (*given, _NONE) if given else (_ANY,))


def is_of_the_system(unit: str) -> bool:
    """Whether a unit is one without which a host is lost or can't be reached."""
    return _SYSTEM_UNIT.match(unit) is not None


def owner_faults(path: Path, data: t.Any) -> t.Iterator[Fault]:
    """What the schema doesn't say of an owner: names that don't tell who is behind them."""
    given = _mapping(data)
    parts = [((*path, name), given[name]) for name in SYSTEMS if name in given] or [(path, given)]
    for where, part in parts:
        for name in _texts(_mapping(part).get("process")):
            if name in PROXIES:
                yield Fault(
                    (*where, "process"),
                    f"found {found(name)}, by which a container engine holds the ports of whatever"
                    " container; allowed is container: with the name of the container",
                )
        for unit in _texts(_mapping(part).get("unit")):
            if is_of_the_system(unit) and _mapping(part).get("system") is not True:
                yield Fault(
                    (*where, "unit"),
                    f"found {found(unit)}, without which the host is lost or can't be reached;"
                    " allowed is the unit of a service, or with system: true beside it one of the"
                    " system's own that is registered on purpose",
                )


def _mapping(value: t.Any) -> dict[str, t.Any]:
    return value if isinstance(value, dict) else {}


def _text(value: t.Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: t.Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(item for item in items if isinstance(item, str))
