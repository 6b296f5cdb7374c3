# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring a cluster to its wanted state, or change nothing.

The role's files are in a folder that only root can change, so root can replace them and keep what
they replace. The cluster's own configuration only leads there, by one file that has no effect while
they are missing.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
import tempfile
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.prsnl.ports.plugins.module_utils.daemon.change import (
    describe,
    take_back_other,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.systemd import drop_in
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import (
    Content,
    is_safe,
    read_file,
    remove_file,
    remove_staged,
    write_file,
    write_text,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import Changer
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import (
    Manifest,
    hand_edit,
    manifest_path,
    read_manifest,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import (
    ANYTHING,
    Undo,
    UndoError,
)

from .adoption import overridden, rules_of_others
from .creation import Creation, unused_hba_text
from .host import Account, ClusterError, Layout
from .look import ABSENT, HALF_MADE, look
from .server import Server
from .service import Service
from .settings import (
    HEADER,
    assignments,
    changed_names,
    include_text,
    render,
    tune,
    without,
)

# A comment in the file that earlier releases had where the cluster's user can change it.
FORMER_RULES = "# Who may connect follows from the consumers of "
CUT_OFF = "go on with a change that was cut off"


@dataclass(frozen=True)
class Request:
    """What a cluster is to be.

    ``settings`` prevail over those that follow from ``memory_mb`` (MiB, 0 for what the host has)
    and ``connections``; nothing may prevail over those that ``fixed`` names. ``rules`` is the text
    of who may connect. ``pem`` is the text of a certificate with its key, for a server that gets
    them from here; ``certificate`` and ``key`` are paths of others. ``options`` are of the unit's
    ``[Service]``, ``writable`` what it may write to besides the cluster. ``endpoints`` are those of
    the plan. ``timeout`` is in seconds, and doesn't count while the server recovers from a crash.
    """

    port: int
    locale: str
    settings: t.Mapping[str, t.Any]
    fixed: frozenset[str]
    connections: int
    rules: str
    memory_mb: int = 0
    certificate: str = ""
    key: str = ""
    pem: str = ""
    options: t.Mapping[str, t.Any] = field(default_factory=dict)
    writable: tuple[str, ...] = ()
    endpoints: tuple[t.Mapping[str, t.Any], ...] = ()
    timeout: float = 60.0


@dataclass(frozen=True)
class OwnFile:
    """A file that only root can change, what it is and what it is going to be."""

    path: str
    former: t.Optional[Content]
    wanted: Content
    is_secret: bool = False

    @property
    def is_changed(self) -> bool:
        """Whether its content, permissions or owner differ."""
        return self.former != self.wanted


@dataclass(frozen=True)
class Cleanup:
    """Something in the cluster's own configuration that isn't in effect, and how it goes.

    ``new`` is the new content; None removes the file.
    """

    what: str
    path: str
    new: t.Optional[Content]


class Cluster:
    """A cluster and its server on this host.

    :param account: the cluster's user; None if the system has none yet.
    :param run: starts a program; returns its exit code, output and errors.
    :param undo: the folder of what changes replace.
    :raises ClusterError: what there is must not be changed.
    """

    def __init__(
        self,
        request: Request,
        layout: Layout,
        account: t.Optional[Account],
        run: Runner,
        undo: str,
    ) -> None:
        self.request = request
        self.layout = layout
        self._account = account
        self._run = run
        self._undo = Undo(layout.unit, undo)
        # What the unit needs if the change is taken back.
        self._needs = ""
        self._manifest_path = manifest_path(layout.unit, layout.state)
        self.actions: list[str] = []
        # What became of a change that was cut off, if it wasn't gone on with.
        self.recovered: list[str] = []
        self.remarks: list[str] = []
        self._look()

    def _look(self) -> None:
        self.found = look(self.layout, self._account, self._run)
        self.files = self._own_files()
        self._tell_of_others()

    # --- what is wanted, and what there is -----------------------------------------------------

    @property
    def memory_mb(self) -> int:
        """The memory that the sizes are for, in MiB."""
        return self.request.memory_mb or self.found.memory_mb

    @property
    def wanted_settings(self) -> dict[str, t.Any]:
        """The settings of the role's file."""
        sizes = tune(self.memory_mb, self.request.connections)
        pem = self.layout.pem
        tls = {"ssl": True, "ssl_cert_file": pem, "ssl_key_file": pem} if self.request.pem else {}
        return {**sizes, **tls, **self.request.settings, "hba_file": self.layout.hba}

    @property
    def fixed(self) -> set[str]:
        """The names of settings that nothing may prevail over."""
        return {*self.request.fixed, "hba_file"}

    def _own_files(self) -> list[OwnFile]:
        layout, request = self.layout, self.request
        settings = render(
            self.wanted_settings,
            "The port, the addresses and the consumers (pg_hba.conf) follow from the port"
            " registry.",
            f"Sizes are for {self.memory_mb} MB of memory and {request.connections} connections.",
        )
        places = [self.found.data, *layout.writable, *request.writable]
        options = {**request.options, "ReadWritePaths": places}
        root = os.getegid()
        group = self._account.gid if self._account else root
        wanted = [
            (layout.drop_in, drop_in(options, HEADER), 0o644, root),
            (layout.settings, settings.encode(), 0o644, root),
            (layout.hba, request.rules.encode(), 0o640, group),
        ]
        if request.pem:
            wanted.append((layout.pem, f"{request.pem.rstrip()}\n".encode(), 0o640, group))
        return [
            OwnFile(
                path,
                read_file(path),
                Content(data, mode, os.geteuid(), gid),
                is_secret=path == layout.pem,
            )
            for path, data, mode, gid in wanted
        ]

    @property
    def changed_files(self) -> list[OwnFile]:
        """The files that differ from what is wanted."""
        return [file for file in self.files if file.is_changed]

    def diff(self) -> list[dict[str, str]]:
        """Return the differences of the files, as Ansible prints them."""
        result = []
        for file in self.changed_files:
            former = file.former
            before, after = (
                (b"(secret)\n" if former else b"", b"(secret, changed)\n")
                if file.is_secret
                else (former.data if former else b"", file.wanted.data)
            )
            result.append(
                {
                    "before": before.decode(errors="replace"),
                    "before_header": f"{file.path} ({describe(former)})" if former else "absent",
                    "after": after.decode(errors="replace"),
                    "after_header": f"{file.path} ({describe(file.wanted)})",
                }
            )
        return result

    def facts(self) -> dict[str, t.Any]:
        """Return what there is, as plain data."""
        found, server = self.found, self.found.server
        return {
            "state": found.state,
            "data": found.data,
            "port": found.port,
            "memory_mb": found.memory_mb,
            "enabled": found.is_enabled,
            "checksums": server.checksums if server else None,
            "databases": dict(server.databases) if server else {},
            "monitors": list(server.monitors) if server else [],
            "pending": sorted(server.pending) if server else [],
        }

    def _tell_of_others(self) -> None:
        """Remark on what somebody else wrote, and what is going to be without effect."""
        manifest = read_manifest(self._manifest_path)
        for file in self.changed_files:
            told = hand_edit(
                manifest,
                file.path,
                file.former.data if file.former else None,
                file.wanted.data,
                is_shown=not file.is_secret,
            )
            if told:
                self._remark(told)
        # A cluster that somebody else made has its rules and settings in its own folder.
        if manifest is not None or self.found.state in (ABSENT, HALF_MADE) or self._has_include():
            return
        with self._writer():
            rules = _read_if_possible(self.layout.unused_hba)
        text = _text(rules) if rules else ""
        if text and FORMER_RULES not in text:
            for told in rules_of_others(self.layout.unused_hba, text):
                self._remark(told)
        for told in overridden(self.found.main, self.layout.main_file, self.wanted_settings):
            self._remark(told)

    # --- what has to be done -------------------------------------------------------------------

    def preview(self) -> None:
        """Note in `actions` what `apply` would do.

        :raises ClusterError: it would be refused.
        """
        state = self.found.state
        if state == HALF_MADE:
            self.actions.append(f"finish or remove the half-made cluster {self.layout.label}")
        elif state == ABSENT:
            self.actions.append(f"create the cluster {self.layout.label}")
        else:
            self._validate(is_check=True)
        self.actions += self._steps()
        if state not in (HALF_MADE, ABSENT):
            self.actions += [cleanup.what for cleanup in self._cleanups()]

    def _steps(self) -> list[str]:
        """Return what the configuration needs. Only a server knows for sure whether to restart."""
        found = self.found
        steps = [CUT_OFF] if self._undo.is_pending else []
        steps += [f"write {file.path}" for file in self.changed_files]
        if found.state not in (HALF_MADE, ABSENT) and not self._has_include():
            steps.append(f"write {self.layout.include}")
        reasons = self._reasons(found.server)
        if self.layout.drop_in in [file.path for file in self.changed_files]:
            reasons = ["the unit", *reasons]
        if found.server:
            reasons += sorted(self._changed_settings() & found.server.on_start)
        if found.postmaster is None:
            steps.append("start")
        elif reasons:
            steps.append(f"restart for {listed(dict.fromkeys(reasons))}")
        elif steps or self._is_stale(found.server):
            steps.append("reload")
        if not found.is_enabled:
            steps.append("enable")
        return steps

    def _changed_settings(self) -> set[str]:
        _drop_in, settings, *_others = self.files
        former = settings.former
        if former is None and self.found.main:
            with self._writer():
                former = _read_if_possible(self.layout.former_settings)
        return changed_names(_text(former) if former else "", _text(settings.wanted))

    def _reasons(self, server: t.Optional[Server], *, is_doubtful: bool = False) -> list[str]:
        """Return what a running server takes notice of only when it starts.

        :param is_doubtful: the former settings aren't known, so all that waits may be ours.
        """
        postmaster = self.found.postmaster
        if postmaster is None:
            return []
        reasons = []
        folder = os.path.dirname(self.layout.drop_in)
        times = [_changed(f"{folder}/{name}") for name in _names_in(folder)]
        if self.found.is_unread or any(changed > postmaster.since for changed in times):
            reasons.append("the unit")
        # Its date in the file system is that of its installation.
        if _changed(f"{self.layout.programs}/postgres") > postmaster.since:
            reasons.append("the program")
        if server is not None:
            names = {*self.wanted_settings, *self._changed_settings()}
            ours = set(server.pending) if is_doubtful else server.pending & names
            ours -= set(server.hidden(self.layout.settings, names))
            reasons += sorted(ours)
            others = sorted(server.pending - ours)
            if others and not reasons:
                self._remark(
                    f"{self.layout.unit} has to be restarted for {listed(others)}, which somebody"
                    " else has changed. That is left to them"
                )
        return reasons

    def _is_stale(self, server: t.Optional[Server]) -> bool:
        """Whether the server may have read other files than there are."""
        manifest = read_manifest(self._manifest_path)
        if server is None or manifest is None or not manifest.applied:
            return True
        paths = [self.layout.settings, self.layout.hba, self.layout.pem]
        if max(map(_changed, paths)) > server.loaded:
            return True
        if not self.request.certificate or self._account is None:
            return False
        with self._account.acting():
            paths = [self.request.certificate, self.request.key]
            return max(map(_changed, paths)) > server.loaded

    def _validate(self, *, is_check: bool) -> None:
        """Refuse what can be known to fail before anything changes; let the programs judge.

        :raises ClusterError: something would not be valid.
        """
        _drop_in, settings, *_others = self.files
        program = f"{self.layout.programs}/postgres"
        if self._account is None:
            return
        if settings.is_changed and os.path.exists(program):
            with tempfile.TemporaryDirectory(prefix="prsnl-ports-") as folder:
                os.chmod(folder, 0o755)  # noqa: S103 - the cluster's user has to read it
                staged = f"{folder}/settings.conf"
                write_file(staged, settings.wanted)
                words = [program, "-C", "port", "-D", self.found.data]
                words += ["-c", f"config_file={staged}"]
                code, out, err = self._run(self._account.command(*words))
            if code != 0:
                text = (err.strip() or out.strip()).replace(staged, settings.path)
                raise ClusterError(
                    f"{settings.path} would not be valid. {program} says:\n{text}\nNothing has"
                    " changed."
                )
        certificate = self.request.certificate
        # In check mode, the role that makes it hasn't made it.
        if certificate and not (is_check and not os.path.exists(certificate)):
            self._refuse_certificate(self._account)
        # Check mode has a word for what it doesn't make.
        if self.request.pem and not (is_check and "-----BEGIN" not in self.request.pem):
            self._refuse_pem()
        if self.found.server:
            # Ours are replaced.
            own = (self.layout.settings, self.layout.hba)
            self._refuse_files(self.found.server, without=own, is_included=False)

    def _refuse_certificate(self, account: Account) -> None:
        """Raise ClusterError for what would leave the server without TLS."""
        request = self.request
        try:
            with account.acting():
                for path in (request.certificate, request.key):
                    if not stat.S_ISREG(os.stat(path).st_mode):
                        raise OSError(f"{path} is not a regular file")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                # Without this, a key with a password would ask for it.
                context.load_cert_chain(request.certificate, request.key, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"The user {account.name} can not use the certificate {request.certificate} with"
                f" the key {request.key}: {error}"
            ) from None

    def _refuse_pem(self) -> None:
        """Raise ClusterError for what would leave the server without TLS."""
        with tempfile.TemporaryDirectory(prefix="prsnl-ports-") as folder:
            path = f"{folder}/server.pem"
            write_text(path, self.request.pem, 0o600)
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=lambda: b"")
            except (OSError, ValueError) as error:
                raise ClusterError(
                    f"The certificate for {self.layout.pem} can not be used with its key: {error}"
                ) from None

    def _refuse_files(
        self, server: Server, *, without: t.Container[str] = (), is_included: bool = True
    ) -> None:
        """Raise ClusterError if the server would not come to the wanted settings by its files."""
        layout = self.layout
        errors = server.errors(without)
        if errors:
            raise ClusterError(
                "PostgreSQL keeps its former configuration, because it can not read the new one:\n"
                + "\n".join(errors)
            )
        if is_included and not server.reads(layout.settings):
            raise ClusterError(
                f"{layout.main_file} doesn't read {layout.include}; add the line include_dir ="
                " 'conf.d' at its end"
            )
        hidden = server.hidden(layout.settings, self.fixed)
        if hidden:
            told = ", ".join(f"{name} is set in {place}" for name, place in sorted(hidden.items()))
            raise ClusterError(
                f"{told}, and that hides {layout.settings}; remove it there (ALTER SYSTEM RESET for"
                " postgresql.auto.conf)"
            )

    # --- the change ----------------------------------------------------------------------------

    def apply(self, changer: Changer, token: str) -> None:
        """Bring the cluster to what is wanted, and note in `actions` what was done.

        The host's lock has to be held.

        :param token: of the lock.
        :raises ClusterError: it can't be; what there was is back then.
        """
        account = self._account
        if account is None:
            raise ClusterError("the system has no user postgres. Install the packages first")
        own = [self._manifest_path, *(file.path for file in self.files)]
        self.recovered += take_back_other(self._undo, self._run, own)
        if self.recovered:
            self._look()
        creation = Creation(self.layout, self._run)
        if creation.is_begun:
            self.actions.append(creation.recover(account))
            self._look()
        if self.found.state == ABSENT:
            creation.make(account, self.request.port, self.request.locale)
            self.actions.append(f"create the cluster {self.layout.label}")
            self._look()
        self._validate(is_check=False)
        if self._steps() or not self._is_applied():
            self._change(account, changer, token)
            self._look()
        self._clean_up()

    def _change(self, account: Account, changer: Changer, token: str) -> None:
        undo = self._undo
        was_cut_off = undo.is_pending
        if was_cut_off:
            self.actions.append(CUT_OFF)
            undo.tidy()
        else:
            facts = {"was_running": self.found.postmaster is not None}
            undo.begin(f"{self.layout.unit}: its configuration", changer, token, facts)
        kept = [(file.path, file.wanted.sha256) for file in self.changed_files]
        undo.keep((self._manifest_path, ANYTHING), *kept)
        self._if_undone("restart" if was_cut_off else "")
        is_unread = bool(self.changed_files) or self._is_stale(self.found.server)
        try:
            self._keep_manifest(applied=False)
            for file in self.changed_files:
                write_file(file.path, file.wanted)
                self.actions.append(f"write {file.path}")
            is_unread = self._write_include() or is_unread
            self._bring(account, is_unread=is_unread, is_doubtful=was_cut_off)
            self._keep_manifest(applied=True)
        except (OSError, ClusterError) as error:
            raise ClusterError(self._restore(account, str(error))) from None
        undo.confirm()

    def _if_undone(self, verb: str) -> None:
        """Say what the unit needs when the former files are back, before it is touched.

        :param verb: ``restart``, which it needs from then on, ``reload`` or nothing.
        """
        if self._needs != "restart":
            self._needs = verb
        commands = [["systemctl", "daemon-reload"]]
        if self._undo.facts["was_running"]:
            # The files are newer than what it has read of them.
            commands.append(["systemctl", self._needs or "reload", self.layout.unit])
        elif self._needs:
            commands.append(["systemctl", "stop", self.layout.unit])
        self._undo.then(commands)

    def _restore(self, account: Account, error: str) -> str:
        """Put the former files and the former state back; return the message."""
        unit, was_running = self.layout.unit, self._undo.facts["was_running"]
        try:
            remarks = self._undo.take_back(self._run)
        except UndoError as failure:
            return f"{error}\n{failure}"
        told = "".join(f"\n{remark}." for remark in remarks)
        if not self._needs:
            return f"{error}\nNothing has changed.{told}"
        if not was_running:
            return f"{error}\nThe former files are back, and {unit} is stopped, as it was.{told}"
        runs = self._service(account).find() is not None
        again = "runs with them again" if runs else "doesn't start with them either"
        return f"{error}\nThe former files are back, and {unit} {again}.{told}"

    def _service(self, account: Account) -> Service:
        request = self.request
        return Service(
            self.layout,
            account,
            self._run,
            self.found.data,
            endpoints=request.endpoints,
            timeout=request.timeout,
        )

    def _bring(self, account: Account, *, is_unread: bool, is_doubtful: bool) -> None:
        """Bring the server to its files.

        :param is_unread: a running server may not have read them as they are now.
        :param is_doubtful: see `_reasons`.
        :raises ClusterError: it refuses them, doesn't read them or doesn't start.
        """
        service = self._service(account)
        if self.found.postmaster is None:
            self._if_undone("restart")
            service.start("start")
            self.actions.append("start")
        else:
            self._bring_running(service, is_unread=is_unread, is_doubtful=is_doubtful)
        server = service.ask()
        self._refuse_files(server)
        if server.port != self.request.port:
            raise ClusterError(
                f"PostgreSQL is on the port {server.port} instead of {self.request.port}"
            )
        if not self.found.is_enabled:
            service.enable()
            self.actions.append("enable")

    def _bring_running(self, service: Service, *, is_unread: bool, is_doubtful: bool) -> None:
        server = self.found.server
        if self.found.postmaster and self.found.postmaster.is_starting:
            service.wait_until_ready()
            server = service.ask()
        if server is None:
            # It may be the rules that are to be changed which keep us out.
            self._reload(service)
        else:
            # What it makes of the files now, before it has to live with them.
            server = service.ask()
            self._refuse_files(server)
            if is_unread and not self._reasons(server, is_doubtful=is_doubtful):
                self._reload(service)
        reasons = self._reasons(service.ask(), is_doubtful=is_doubtful)
        if reasons:
            self._if_undone("restart")
            service.start("restart")
            self.actions.append(f"restart for {listed(reasons)}")

    def _reload(self, service: Service) -> None:
        postmaster = service.find()
        if postmaster is not None:
            self._if_undone("reload")
            service.reload(postmaster)
            self.actions.append("reload")

    # --- what the cluster's user can change ----------------------------------------------------

    @contextlib.contextmanager
    def _writer(self) -> t.Iterator[tuple[int, int]]:
        """Become whoever may write to the cluster's configuration; the user and group of files."""
        if self._account is None or is_safe(self.layout.configuration):
            yield os.geteuid(), os.getegid()
            return
        with self._account.acting():
            yield self._account.uid, self._account.gid

    def _has_include(self) -> bool:
        found = self._account.read(self.layout.include) if self._account else None
        return found is not None and found.data == include_text(self.layout.settings).encode()

    def _write_include(self) -> bool:
        if self._has_include():
            return False
        path, text = self.layout.include, include_text(self.layout.settings)
        try:
            with self._writer() as (uid, gid):
                remove_staged(path)
                write_file(path, Content(text.encode(), 0o644, uid, gid))
        except OSError as error:
            raise ClusterError(f"{path} can't be written: {error.strerror}") from None
        self.actions.append(f"write {path}")
        return True

    def _cleanups(self) -> list[Cleanup]:
        """Return what is in the cluster's own configuration, and not in effect."""
        layout, found = self.layout, []
        with self._writer():
            main, settings, rules = (
                _read_if_possible(path)
                for path in (layout.main_file, layout.former_settings, layout.unused_hba)
            )
        if main and "port" in assignments(_text(main)):
            new = _changed_content(main, without(_text(main), "port"))
            found.append(Cleanup(f"remove the port from {layout.main_file}", layout.main_file, new))
        if settings:
            more = sorted(set(assignments(_text(settings))) - set(self.wanted_settings))
            if not more:
                what = f"remove {layout.former_settings}"
                found.append(Cleanup(what, layout.former_settings, None))
            else:
                self._remark(
                    f"{layout.former_settings} is of an earlier release, and was edited by hand: it"
                    f" sets {listed(more)} still. Put that into postgresql_settings, and remove it"
                )
        if rules and FORMER_RULES in _text(rules):
            new = _changed_content(rules, unused_hba_text(layout.hba))
            what = f"say in {layout.unused_hba} where the rules are"
            found.append(Cleanup(what, layout.unused_hba, new))
        return found

    def _clean_up(self) -> None:
        """Remove what isn't in effect. The server does what it did, so there is no way back."""
        for cleanup in self._cleanups():
            try:
                with self._writer():
                    remove_staged(cleanup.path)
                    if cleanup.new is None:
                        remove_file(cleanup.path)
                    else:
                        write_file(cleanup.path, cleanup.new)
            except OSError as error:
                self._remark(f"could not {cleanup.what}: {error}")
            else:
                self.actions.append(cleanup.what)

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)

    # --- the manifest --------------------------------------------------------------------------

    def _manifest(self, *, applied: bool) -> Manifest:
        return Manifest(
            unit=self.layout.unit,
            applied=applied,
            files={file.path: file.wanted.sha256 for file in self.files},
            endpoints={
                endpoint["id"]: {key: endpoint[key] for key in ("port", "protocol", "listen")}
                for endpoint in self.request.endpoints
            },
        )

    def _is_applied(self) -> bool:
        return read_manifest(self._manifest_path) == self._manifest(applied=True)

    def _keep_manifest(self, *, applied: bool) -> None:
        write_text(self._manifest_path, self._manifest(applied=applied).as_text(), 0o600)


def _changed(path: str) -> float:
    """Return when a file got its content, owner or place, in seconds since the epoch."""
    try:
        return os.stat(path).st_ctime
    except OSError:
        return 0.0


def _names_in(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def _read_if_possible(path: str) -> t.Optional[Content]:
    try:
        return read_file(path)
    except OSError:
        return None


def _text(content: Content) -> str:
    return content.data.decode(errors="surrogateescape")


def _changed_content(content: Content, text: str) -> Content:
    return replace(content, data=text.encode(errors="surrogateescape"), modified=None)
