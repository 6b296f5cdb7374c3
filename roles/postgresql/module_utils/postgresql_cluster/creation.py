# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a cluster so that a run that is killed leaves nothing half-made where a cluster belongs.

The cluster is made in two folders whose names hold a random token, one inside of the future data
and one beside the configurations, by Debian's own program. A marker that only root can write has
the token, before the folders are there. When the cluster is complete and on the disk, the marker
says so, and its parts are moved to their places, those last that make Debian's tools and the server
see a cluster. The next run either goes on with moving, or removes the two folders with the token,
and nothing else ever: what is in the places of a cluster may be somebody's.
"""

from __future__ import annotations

import grp
import json
import os
import re
import secrets
import shutil
import stat
import time
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.files import (
    Content,
    read_file,
    remove_file,
    remove_staged,
    sync_folder,
    write_file,
    write_text,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner

from .host import Account, ClusterError, Layout
from .settings import HEADER, include_text

PREFIX = ".prsnl-unfinished-"
VERSION = 1
# Seconds. Making one takes 3, or some minutes where Python and PostgreSQL are emulated.
LIMIT = 3600
# Seconds for what a killed run has started and left behind.
PATIENCE = 120.0
PAUSE = 0.5
# What only a server leaves, that is: somebody has used the cluster.
USED = ("postmaster.opts", "postmaster.pid")
_TOKEN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Marker:
    """What is known of a cluster that is being made.

    ``token`` is in the names of its folders, ``began`` in seconds since the epoch. ``complete``
    says that all of it is there, and is only to be moved.
    """

    token: str
    began: float
    complete: bool = False


class Creation:
    """A cluster that is made, or was going to be.

    :param run: starts a program; returns its exit code, output and errors.
    """

    def __init__(self, layout: Layout, run: Runner) -> None:
        self._layout = layout
        self._run = run
        self.marker = read_marker(layout.marker)

    @property
    def is_begun(self) -> bool:
        """Whether a former run was cut off."""
        return self.marker is not None

    @property
    def own_name(self) -> str:
        """The name of the folders that the cluster is made in."""
        return PREFIX + (self.marker.token if self.marker else "")

    @property
    def _staged_data(self) -> str:
        return f"{self._layout.data}/{self.own_name}"

    @property
    def _staged_root(self) -> str:
        return f"{self._layout.configurations}/{self.own_name}"

    @property
    def _staged_configuration(self) -> str:
        return f"{self._staged_root}/{self._layout.version}/{self._layout.name}"

    def make(self, account: Account, port: int, locale: str) -> None:
        """Make the cluster, and bring it to its place.

        :param port: the one that it has until it reads the role's settings.
        :raises ClusterError: it can't be made; nothing is left of it.
        :raises OSError: the disk is full, for example; the next run goes on.
        """
        self.marker = Marker(secrets.token_hex(16), time.time())
        self._save()
        try:
            self._initialize(account, port, locale)
        except ClusterError:
            self.recover(account)
            raise
        with account.acting():
            self._settle(account)
        self.marker = Marker(self.marker.token, self.marker.began, complete=True)
        self._save()
        self._move(account)

    def recover(self, account: Account) -> str:
        """Finish what a run that was cut off has left, or remove it; tell what was done.

        :raises ClusterError: somebody works on it, or what the run had started goes on.
        """
        marker = self.marker
        if marker is None:
            return ""
        if marker.complete:
            self._move(account)
            return f"finish the cluster {self._layout.label}, which was cut off"
        self._wait()
        with account.acting():
            self._refuse_foreign(account, marker)
            for folder in (self._staged_data, self._staged_root):
                if os.path.lexists(folder):
                    shutil.rmtree(folder)
            _remove_empty(self._layout.data)
            _remove_empty(os.path.dirname(self._layout.data))
        told = f"remove the half-made cluster of a run that was cut off ({self.own_name})"
        self._forget()
        return told

    def _initialize(self, account: Account, port: int, locale: str) -> None:
        layout = self._layout
        with account.acting():
            os.makedirs(os.path.dirname(layout.data), mode=0o755, exist_ok=True)
            if not os.path.isdir(layout.data):
                os.mkdir(layout.data, 0o700)
        self._prepare_log(account)
        command = account.command(
            "env",
            f"PG_CLUSTER_CONF_ROOT={self._staged_root}",
            *("timeout", "--kill-after=10", str(LIMIT)),
            *("pg_createcluster", "--no-status", "--port", str(port)),
            *("--locale", locale, "--encoding", "UTF8"),
            *("--pgoption", "add_include_dir=conf.d", "--datadir", self._staged_data),
            *(layout.version, layout.name, "--", "--data-checksums"),
        )
        code, out, err = self._run(command)
        if code != 0:
            told = err.strip() or out.strip() or f"pg_createcluster ended with {code}"
            raise ClusterError(f"the cluster {layout.label} could not be made: {told}")

    def _prepare_log(self, account: Account) -> None:
        """Give the log to the group that reads logs, which the cluster's user can't."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            handle = os.open(self._layout.log, flags, 0o640)
        except (FileExistsError, FileNotFoundError):
            return
        try:
            os.fchown(handle, account.uid, _log_group(account.gid))
        finally:
            os.close(handle)

    def _settle(self, account: Account) -> None:
        """Let the files say what is true when they are in their places, and be on the disk."""
        layout, folder = self._layout, self._staged_configuration
        for name in sorted(os.listdir(folder)):
            path = f"{folder}/{name}"
            content = read_file(path) if os.path.isfile(path) else None
            if content is None:
                continue
            text = content.data.decode(errors="surrogateescape")
            text = text.replace(self._staged_data, layout.data)
            text = text.replace(self._staged_root, layout.configurations)
            if path.endswith("/pg_hba.conf"):
                text = unused_hba_text(layout.hba)
            data = text.encode(errors="surrogateescape")
            write_file(path, Content(data, content.mode, content.uid, content.gid))
        include = layout.include.replace(layout.configuration, folder)
        text = include_text(layout.settings)
        write_file(include, Content(text.encode(), 0o644, account.uid, account.gid))
        for path, _folders, _files in os.walk(self._staged_root):
            sync_folder(path)
        sync_folder(self._staged_data)

    def _move(self, account: Account) -> None:
        layout = self._layout
        parts = (
            (self._staged_data, layout.data, "PG_VERSION"),
            (self._staged_configuration, layout.configuration, "postgresql.conf"),
        )
        with account.acting():
            for staged, place, _last in parts:
                conflict = _conflict(staged, place)
                if conflict:
                    raise ClusterError(
                        f"{conflict} is there, though this run's cluster {layout.label} was not yet"
                        f" moved to its place from {staged}. Nobody else's files were changed."
                        f" Remove it, or, to keep it, {staged} and {layout.marker}"
                    )
            for staged, place, last in parts:
                os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
                if not os.path.isdir(place):
                    os.mkdir(place, 0o755)
                _merge(staged, place, last)
                sync_folder(place)
                sync_folder(os.path.dirname(place))
            # As `initdb` leaves it.
            os.chmod(layout.data, 0o700)
            if os.path.isdir(self._staged_root):
                shutil.rmtree(self._staged_root)
        self._forget()
        update = f"{layout.root}/usr/share/postgresql-common/pg_updateaptconfig"
        if os.path.exists(update):
            # Without it, the package of the server may be removed as one that nobody needs.
            self._run([update])

    def _wait(self) -> None:
        """Wait for the end of what a killed run has started."""
        end = time.monotonic() + PATIENCE
        while _is_mentioned(self.own_name):
            if time.monotonic() > end:
                raise ClusterError(
                    f"what a run that was cut off has started still makes {self._staged_data}."
                    " Nothing was changed. Run again when it has ended"
                )
            time.sleep(PAUSE)

    def _refuse_foreign(self, account: Account, marker: Marker) -> None:
        """Raise ClusterError if somebody has used the half-made cluster, or put something there."""
        remedy = f"Nothing was changed. Move it away, and remove {self._layout.marker}"
        for folder in (self._staged_data, self._staged_root):
            for path, folders, files in os.walk(folder):
                for name in (*folders, *files):
                    found = f"{path}/{name}"
                    status = os.lstat(found)
                    if name in USED:
                        why = "a server has run there"
                    elif status.st_uid != account.uid:
                        why = f"it isn't a file of {account.name}"
                    elif status.st_ctime > marker.began + LIMIT:
                        why = "it is newer than the run that was cut off"
                    else:
                        continue
                    raise ClusterError(
                        f"{found} may be somebody's, in the half-made cluster of a run that was"
                        f" cut off: {why}. {remedy}"
                    )

    def _save(self) -> None:
        os.makedirs(self._layout.state, mode=0o755, exist_ok=True)
        if self.marker is not None:
            text = json.dumps({"version": VERSION, **asdict(self.marker)}) + "\n"
            write_text(self._layout.marker, text, 0o600)

    def _forget(self) -> None:
        remove_staged(self._layout.marker)
        remove_file(self._layout.marker)
        self.marker = None


def read_marker(path: str) -> t.Optional[Marker]:
    """Return what is known of a cluster that is being made; None if there is nothing.

    :raises ClusterError: a later release wrote it.
    """
    found = read_file(path)
    if found is None:
        return None
    try:
        data = json.loads(found.data)
        if data.pop("version") == VERSION and _TOKEN.fullmatch(data["token"]):
            return Marker(**data)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise ClusterError(
        f"{path} tells of a cluster that was begun, and can't be read by this release. Nothing was"
        " changed. Run the release that wrote it once more, or look what it made, and remove it"
    )


def unused_hba_text(path: str) -> str:
    """Return the text that says where the rules are."""
    return (
        f"{HEADER}\n# Nobody reads this file: the settings name {path}, which only root can"
        " change.\n# Who may connect follows from the port registry.\n"
    )


def _conflict(staged: str, place: str) -> str:
    """Return the path of what is in the place of a staged file; empty if nothing is."""
    if not os.path.isdir(staged):
        return ""
    for name in sorted(os.listdir(staged)):
        source, target = f"{staged}/{name}", f"{place}/{name}"
        if not os.path.lexists(target):
            continue
        if not (_is_folder(source) and _is_folder(target)):
            return target
        conflict = _conflict(source, target)
        if conflict:
            return conflict
    return ""


def _merge(staged: str, place: str, last: str) -> None:
    """Move what is in a folder into another one of the same file system."""
    if not os.path.isdir(staged):
        return
    for name in sorted(os.listdir(staged), key=lambda entry: (entry == last, entry)):
        source, target = f"{staged}/{name}", f"{place}/{name}"
        if name == last:
            sync_folder(place)
        if _is_folder(source) and _is_folder(target):
            _merge(source, target, last)
        else:
            os.rename(source, target)
    os.rmdir(staged)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _remove_empty(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        # Somebody's, or a place to mount something.
        return


def _log_group(default: int) -> int:
    try:
        return grp.getgrnam("adm").gr_gid
    except KeyError:
        return default


def _is_mentioned(name: str) -> bool:
    """Tell whether a process has a folder's name in its command."""
    wanted = name.encode()
    for pid in os.listdir("/proc"):
        if pid.isdigit() and int(pid) != os.getpid():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if wanted in file.read():
                        return True
            except OSError:
                continue
    return False
