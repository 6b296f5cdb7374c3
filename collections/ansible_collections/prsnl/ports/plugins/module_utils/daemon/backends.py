# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a daemon is made of, and what differs between systems: who installs, and who runs it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.prsnl.ports.plugins.module_utils.host.files import Content
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import Undo


class DaemonError(Exception):
    """What stops the change, as the operator is to read it."""


@dataclass(frozen=True)
class DaemonFile:
    """A file that a daemon reads; ``wanted`` is None for one that has to go.

    ``applied_by`` tells how the daemon takes notice of it: ``restart``, ``reload`` or ``none``.
    """

    path: str
    wanted: t.Optional[Content]
    applied_by: str = "restart"
    validate: str = ""
    is_secret: bool = False


@dataclass(frozen=True)
class ServiceState:
    """What a service manager tells of a service.

    ``restarts`` counts those that nobody asked for. ``unread`` names definitions that changed on
    disk since the manager read them, of the service and of those that belong to it;
    ``runs_unread`` says that the service's own is among them. ``replaced`` is the program that the
    process runs and that isn't on disk any more; empty if there is no such.
    """

    is_blocked: bool = False
    is_active: bool = False
    was_active: bool = False
    has_failed: bool = False
    can_enable: bool = False
    restarts: str = "0"
    result: str = ""
    unread: tuple[str, ...] = ()
    runs_unread: bool = False
    replaced: str = ""


class ServiceManager(t.Protocol):
    """Runs services: `systemd.Systemd` units, `launchd.Launchd` jobs by their labels."""

    # Whether a service that isn't enabled can't be started either.
    enables_first: bool

    def look(self, unit: str, files: t.Iterable[str]) -> ServiceState:
        """Return what there is now.

        :param files: of the daemon; definitions of other services may be among them.
        """

    def is_definition(self, path: str) -> bool:
        """Tell whether a file is one that the manager itself reads."""

    def options_file(
        self, unit: str, options: t.Mapping[str, t.Any], header: str
    ) -> t.Optional[DaemonFile]:
        """Return the file that gives a service these options; one that goes if there are none.

        Raises DaemonError.
        """

    def read_definitions(self) -> None:
        """Let the manager read what changed. Raises DaemonError."""

    def bring(self, verb: str, unit: str) -> None:
        """Do what the verb says: ``start``, ``restart``, ``reload``, ``enable``.

        Raises DaemonError.
        """

    def way_back(self, unit: str, verb: str, state: ServiceState) -> list[list[str]]:
        """Return the programs that bring a service back to its state of before.

        :param verb: what is done to it: one of those of `bring`.
        """

    def log(self, unit: str) -> str:
        """Return the last lines that the service wrote, after where they are."""


@dataclass(frozen=True)
class Download:
    """What the host downloads: ``file``, ``archive`` or ``package``, as ``kind`` says."""

    url: str
    checksum: str
    kind: str = "file"
    path: str = ""


@dataclass(frozen=True)
class Parts:
    """What a daemon needs to be installed. ``source`` is where the packages come from."""

    packages: tuple[str, ...] = ()
    version: str = ""
    source: t.Optional[t.Mapping[str, t.Any]] = None
    downloads: tuple[Download, ...] = ()
    user: str = ""


@dataclass(frozen=True)
class Missing:
    """What of the parts isn't there.

    ``source`` is empty, ``other`` or ``absent``, ``downloads`` are addresses, and ``tools`` are
    packages that Ansible's own modules need.
    """

    packages: tuple[str, ...] = ()
    source: str = ""
    downloads: tuple[str, ...] = ()
    user: bool = False
    tools: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.packages or self.source or self.downloads or self.user)

    def told(self) -> list[str]:
        """Return what is done about it, for people."""
        return [
            *(["add the user"] if self.user else []),
            *(["add the source of packages"] if self.source else []),
            *(f"download {url}" for url in self.downloads),
            *(f"install {name}" for name in self.packages),
        ]


@dataclass(frozen=True)
class Installed:
    """A package that is installed; ``provider`` is the one that provides it, if it is another."""

    version: str
    provider: str = ""

    def __str__(self) -> str:
        return f"{self.provider} {self.version}".strip()


@dataclass(frozen=True)
class StockStep:
    """One module that the action executes on the host.

    ``preferences`` give way to the user's ``module_defaults``, ``arguments`` don't. If it fails and
    there is a ``retry``, it is executed once more with these arguments as well. ``user`` is whom it
    is executed as, if not as whom the task is.
    """

    module: str
    arguments: t.Mapping[str, t.Any]
    preferences: t.Mapping[str, t.Any] = field(default_factory=dict)
    retry: t.Mapping[str, t.Any] = field(default_factory=dict)
    user: str = ""


class Installer(t.Protocol):
    """Installs packages: `installers.Apt` and `homebrew.Homebrew`.

    It decides, and Ansible's own modules write.
    """

    # Of the environment in which the modules are executed.
    environment: t.Mapping[str, str]
    # What ansible.builtin.user is told of users that nobody logs in as.
    nobody: t.Mapping[str, t.Any]

    @property
    def facts(self) -> dict[str, str]:
        """What the controller has to know to install something. Raises DaemonError."""

    def installed(self, names: t.Sequence[str]) -> dict[str, Installed]:
        """Return what is installed of these packages. Raises DaemonError."""

    def find_source(self, source: t.Mapping[str, t.Any]) -> str:
        """Return whether a source of packages is there: empty if it is, ``other`` or ``absent``."""

    def missing_tools(self) -> list[str]:
        """Return the packages that Ansible's modules need to add a source."""

    def begin(self, parts: Parts, missing: Missing, undo: Undo, guard: Undo) -> None:
        """Get the host ready, before the modules are executed. Raises DaemonError and OSError.

        :param undo: of what the modules write, if something fails.
        :param guard: of what has to go afterwards in any case.
        """

    def steps(self, parts: Parts, missing: Missing, packages: t.Sequence[str]) -> list[StockStep]:
        """Return what installs the missing packages and their source; runs on the controller.

        :param packages: paths of downloaded packages that are installed instead of those by name.
        """

    def unpack(self, path: str, folder: str) -> StockStep:
        """Return what unpacks an archive of the host; runs on the controller."""
