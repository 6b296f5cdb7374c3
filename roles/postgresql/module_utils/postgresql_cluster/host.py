# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who does what on the host: root touches nothing that the cluster's user can replace.

That user owns the data, `/etc/postgresql` and all between, so whatever is read or written there is
read or written by that user: a link there leads no further than the user could go anyway.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.files import Content, read_file


class ClusterError(Exception):
    """What stops the change, as the operator is to read it."""


@dataclass(frozen=True)
class Account:
    """A user of the system, and that user's own group."""

    name: str
    uid: int
    gid: int

    def command(self, *words: str) -> list[str]:
        """Return what root runs to start a program as this user, with all groups of the user."""
        if self.uid == os.geteuid():
            return list(words)
        user = [f"--reuid={self.uid}", f"--regid={self.gid}", "--init-groups"]
        return ["setpriv", *user, "--", *words]

    @contextlib.contextmanager
    def acting(self) -> t.Iterator[None]:
        """Let this process read and write files as this user, with all groups of the user."""
        if self.uid == os.geteuid():
            yield
            return
        uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
        os.initgroups(self.name, self.gid)
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(uid)
            os.setegid(gid)
            os.setgroups(groups)

    def read(self, path: str) -> t.Optional[Content]:
        """Return what this user finds in a file; None if there is none.

        :raises ClusterError: this user can't read it, or it isn't a regular file.
        """
        try:
            with self.acting():
                return read_file(path)
        except OSError as error:
            raise ClusterError(f"{path} can't be read by {self.name}: {error.strerror}") from None


def find_account(name: str) -> t.Optional[Account]:
    """Return a user of the system; None if there is none."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True)
class Layout:
    """Where things are, as Debian's postgresql-common has them. ``root`` is for tests."""

    version: str
    name: str
    root: str = ""

    @property
    def label(self) -> str:
        """What Debian's tools call the cluster."""
        return f"{self.version}/{self.name}"

    @property
    def unit(self) -> str:
        """The systemd unit of the server."""
        return f"postgresql@{self.version}-{self.name}.service"

    @property
    def slices(self) -> tuple[str, ...]:
        """The slices that the unit is in, the innermost first."""
        return ("system-postgresql.slice", "system.slice")

    @property
    def programs(self) -> str:
        """The folder of the server's programs."""
        return f"{self.root}/usr/lib/postgresql/{self.version}/bin"

    @property
    def configurations(self) -> str:
        """The folder of all clusters' configurations."""
        return f"{self.root}/etc/postgresql"

    @property
    def configuration(self) -> str:
        """The folder of the cluster's own configuration, which its user may change."""
        return f"{self.configurations}/{self.version}/{self.name}"

    @property
    def main_file(self) -> str:
        """The configuration that the server is started with."""
        return f"{self.configuration}/postgresql.conf"

    @property
    def include(self) -> str:
        """The file there that leads to the settings of the role."""
        return f"{self.configuration}/conf.d/90-prsnl-ports.conf"

    @property
    def former_settings(self) -> str:
        """Where earlier releases of the role kept the settings."""
        return f"{self.configuration}/conf.d/90-ansible.conf"

    @property
    def unused_hba(self) -> str:
        """Where Debian has the file of who may connect, and earlier releases of the role had it."""
        return f"{self.configuration}/pg_hba.conf"

    @property
    def own(self) -> str:
        """The folder of the role's files, which only root can change."""
        return f"{self.root}/etc/prsnl-ports/postgresql/{self.version}-{self.name}"

    @property
    def settings(self) -> str:
        """The settings of the role."""
        return f"{self.own}/settings.conf"

    @property
    def hba(self) -> str:
        """Who may connect."""
        return f"{self.own}/pg_hba.conf"

    @property
    def pem(self) -> str:
        """The server's certificate with its key, which only root can change."""
        return f"{self.own}/server.pem"

    @property
    def drop_in(self) -> str:
        """What confines the unit."""
        return f"{self.root}/etc/systemd/system/{self.unit}.d/hardening.conf"

    @property
    def wanted(self) -> str:
        """What starts the unit at boot."""
        return f"{self.root}/etc/systemd/system/multi-user.target.wants/{self.unit}"

    @property
    def data(self) -> str:
        """The data of a cluster whose configuration names no other place."""
        return f"{self.root}/var/lib/postgresql/{self.version}/{self.name}"

    @property
    def log(self) -> str:
        """The server's log."""
        return f"{self.root}/var/log/postgresql/postgresql-{self.version}-{self.name}.log"

    @property
    def sockets(self) -> str:
        """The folder of Unix sockets."""
        return f"{self.root}/var/run/postgresql"

    @property
    def writable(self) -> tuple[str, ...]:
        """What the server writes to, besides its data."""
        return ("/run/postgresql", "/var/log/postgresql")

    @property
    def state(self) -> str:
        """The folder of what is remembered on this host; only root can change it."""
        return f"{self.root}/var/lib/prsnl-ports"

    @property
    def marker(self) -> str:
        """What tells of a cluster that is being made."""
        return f"{self.state}/postgresql-{self.version}-{self.name}.unfinished"
