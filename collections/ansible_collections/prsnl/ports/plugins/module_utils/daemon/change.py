# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring the files of a service, and the service itself, to a wanted state, or change nothing.

What is replaced is kept by an `Undo` until the service runs with what is new. A change that was cut
off is gone on with by the next one for the same service, as far as that wants the same files.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shlex
import shutil
import tempfile
import time
import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.prsnl.ports.plugins.module_utils.daemon.archives import (
    Listing,
    listing_path,
    write_listing,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    DaemonError,
    DaemonFile,
    ServiceManager,
    ServiceState,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import (
    Content,
    Labeller,
    UnsafePathError,
    is_left,
    is_safe,
    read_file,
    remove_file,
    remove_staged,
    stage_file,
    write_file,
    write_text,
    writer,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import RUNTIME, Changer
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import (
    DIRECTORY,
    Manifest,
    hand_edit,
    manifest_path,
    read_manifest,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import (
    ABSENT,
    ANYTHING,
    DURABLE,
    Undo,
    UndoError,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import read_sockets

PAUSE = 0.5
# Begins the names of folders for what is only to be checked.
CHECKED = "check-"


@dataclass(frozen=True)
class Preparation:
    """A program that runs once, before the unit starts: while the file ``creates`` is missing."""

    command: tuple[str, ...]
    creates: str
    stdin: str = ""


@dataclass(frozen=True)
class DaemonRequest:
    """What a daemon is to be.

    ``endpoints`` are those of the plan that its files configure. ``parts`` are what is installed of
    it, and in which version. ``is_fresh`` says that some of it was installed just now.
    """

    unit: str
    files: tuple[DaemonFile, ...]
    endpoints: tuple[t.Mapping[str, t.Any], ...] = ()
    prepare: tuple[Preparation, ...] = ()
    is_managed: bool = True
    is_fresh: bool = False
    timeout: float = 60.0
    parts: t.Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Placement:
    """Something that was downloaded, where it is for now, and its listing, with its place."""

    staged: str
    listing: Listing


@dataclass(frozen=True)
class Setting:
    """Where a change happens, and in whose name.

    ``token`` is that of the host's lock, ``label`` tells the SELinux labels of new files.
    """

    directory: str = DIRECTORY
    undo_folder: str = DURABLE
    runtime: str = RUNTIME
    changer: Changer = field(default_factory=Changer)
    token: str = ""
    label: t.Optional[Labeller] = None


def find_ids(owner: str, group: str) -> tuple[int, int]:
    """Return the ids of a user and a group.

    :raises DaemonError: there is no such user or group.
    """
    try:
        # macOS calls root's group wheel.
        gid = 0 if group == "root" else grp.getgrnam(group).gr_gid
        return pwd.getpwnam(owner).pw_uid, gid
    except KeyError as error:
        raise DaemonError(f"no such user or group: {error.args[0]}") from None


def undo_name(unit: str) -> str:
    """Return the name of the undo of a unit's changes."""
    return f"daemon-{unit}"


def take_back_other(undo: Undo, run: Runner, paths: t.Iterable[str]) -> list[str]:
    """Take back a change that was cut off, unless one of these files can go on with it.

    :returns: what was done, for people.
    :raises UndoError: it can't be taken back.
    """
    if not undo.is_pending:
        return []
    if undo.is_untouched and not undo.has_exchanged and set(undo.paths) <= set(paths):
        return []
    story = undo.story
    remarks = undo.take_back(run)
    told = f"; {listed(remarks)}" if remarks else ""
    return [f"{story} was cut off, and was taken back{told}"]


class Daemon:
    """A service and its files on this host.

    :param run: starts a program; returns its exit code, output and errors.
    :param manager: runs the service.
    """

    def __init__(
        self,
        request: DaemonRequest,
        run: Runner,
        manager: ServiceManager,
        setting: Setting,
        placements: t.Sequence[Placement] = (),
    ) -> None:
        self._run = run
        self._manager = manager
        self._setting = setting
        self._placements = placements
        self._manifest_path = manifest_path(request.unit, setting.directory)
        self._undo = Undo(undo_name(request.unit), setting.undo_folder)
        self.request = self._without_needless(request)
        self._former: dict[str, t.Optional[Content]] = {}
        self._read()
        self._is_unit_touched = False
        self.actions: list[str] = []
        self.recovered: list[str] = []

    @property
    def changed_files(self) -> list[DaemonFile]:
        """The files whose content, permissions or owner differ from what is wanted."""
        return [f for f in self.request.files if self._former[f.path] != f.wanted]

    def diff(self) -> list[dict[str, str]]:
        """Return the differences of the files that aren't secret, as Ansible prints them.

        Where others than root could have put it there, only what was rendered before is shown: it
        may be anything that they may not read themselves.
        """
        manifest = read_manifest(self._manifest_path)
        rendered = manifest.files if manifest else {}
        result = []
        for file in self.changed_files:
            former = self._former[file.path]
            before = former.data.decode(errors="replace") if former else ""
            if former and rendered.get(file.path) != former.sha256 and not is_safe(file.path):
                before = "Not shown: others than root may change this file.\n"
            after = file.wanted.data.decode(errors="replace") if file.wanted else ""
            if file.is_secret:
                before, after = "", "The content is secret.\n"
            result.append(
                {
                    "before": before,
                    "before_header": _header(file.path, former),
                    "after": after,
                    "after_header": _header(file.path, file.wanted),
                }
            )
        return result

    def hand_edits(self) -> list[str]:
        """Return what is to be said of files that somebody has edited, and that are replaced."""
        manifest = read_manifest(self._manifest_path)
        told = []
        for file in self.changed_files:
            former = self._former[file.path]
            told.append(
                hand_edit(
                    manifest,
                    file.path,
                    former.data if former else None,
                    file.wanted.data if file.wanted else None,
                    is_shown=not file.is_secret and is_safe(file.path),
                )
            )
        return [text for text in told if text]

    def preview(self) -> None:
        """Note in `actions` what `apply` would do.

        :raises DaemonError: a file isn't valid.
        """
        is_new = False
        for file in self.request.files:
            if file in self.changed_files:
                # One that goes with something that isn't there yet can't be judged without it.
                if not is_new and os.path.isdir(os.path.dirname(file.path)):
                    self._validate(file)
                self.actions.append(_action(file))
            is_new = is_new or self._former[file.path] is None
        self.actions += [f"make {step.creates}" for step in self._unmade()]
        if self.request.is_managed:
            state = self._look()
            self.actions += self._steps(state, self._pending(state), self.changed_files)

    def apply(self) -> None:
        """Write the files, and bring the unit to them; note in `actions` what was done.

        Each file is checked when those before it are in place.

        :raises DaemonError: a file isn't valid, or the unit doesn't run with the new files; the
            former ones are back then, and the unit runs with them if it ran before.
        :raises UndoError: something of an earlier change can't be taken back.
        """
        self._adopt()
        self._tidy()
        state = self._look()
        pending = self._pending(state)
        steps = self._steps(state, pending, self.changed_files) if self.request.is_managed else []
        manifest = self._manifest()
        if not (
            self.changed_files
            or self._placements
            or self._unmade()
            or steps
            or self._undo.is_pending
        ):
            self._keep_if_other(manifest)
            return
        former_manifest = read_manifest(self._manifest_path)
        try:
            self._begin(state)
            # Whoever looks meanwhile is told that the unit runs with something else.
            if self.request.is_managed and (self.changed_files or pending or self._placements):
                self._keep(replace(manifest, applied=False))
            self._place()
            for file in self.changed_files:
                self._validate(file)
                self._write(file)
                self.actions.append(_action(file))
            self._prepare()
            self._bring(state, steps)
        except (OSError, DaemonError) as error:
            raise DaemonError(self._restore(str(error), state, former_manifest)) from None
        self._keep_if_other(manifest)
        self._undo.confirm()

    # --- what is there -------------------------------------------------------------------------

    def _read(self) -> None:
        self._former = {file.path: read_file(file.path) for file in self.request.files}

    def _without_needless(self, request: DaemonRequest) -> DaemonRequest:
        """Leave alone files that should go, but aren't known to be ours."""
        manifest = read_manifest(self._manifest_path)
        known = manifest.files if manifest else {}
        files = tuple(file for file in request.files if file.wanted or file.path in known)
        return replace(request, files=files)

    def _look(self) -> ServiceState:
        if not self.request.is_managed:
            return ServiceState()
        return self._manager.look(self.request.unit, [file.path for file in self.request.files])

    def _unmade(self) -> list[Preparation]:
        return [step for step in self.request.prepare if not os.path.exists(step.creates)]

    def _pending(self, state: ServiceState) -> set[str]:
        """Return how the daemon has to take notice of what it hasn't read yet."""
        manifest = read_manifest(self._manifest_path)
        if self.request.is_fresh or manifest is None or not manifest.applied:
            return {"restart"}
        changed = {file.path for file in self.changed_files}
        pending = {
            file.applied_by
            for file in self.request.files
            if file.path in changed
            or (file.wanted and manifest.files.get(file.path) != file.wanted.sha256)
        } - {"none"}
        parts = manifest.parts
        is_other = parts is not None and any(
            parts.get(name) != version for name, version in self.request.parts.items()
        )
        # A reload doesn't move sockets: a wildcard one blocks each of its addresses, for example.
        is_moved = _sockets(manifest.endpoints.values()) != _sockets(self.request.endpoints)
        if is_other or is_moved or state.replaced or state.runs_unread:
            pending.add("restart")
        return pending

    def _steps(
        self, state: ServiceState, pending: set[str], changed: t.Iterable[DaemonFile]
    ) -> list[str]:
        """Return what the unit needs: verbs of the service manager, and ``daemon-reload``."""
        is_defined = any(self._manager.is_definition(file.path) for file in changed)
        if not state.is_active:
            verb = "start"
        elif "restart" in pending:
            verb = "restart"
        else:
            verb = "reload" if pending else ""
        steps = [verb] if verb else []
        if state.can_enable:
            steps.insert(0 if self._manager.enables_first else len(steps), "enable")
        return ["daemon-reload", *steps] if state.unread or is_defined else steps

    def _manifest(self) -> Manifest:
        return Manifest(
            unit=self.request.unit,
            applied=True,
            files={file.path: file.wanted.sha256 for file in self.request.files if file.wanted},
            endpoints={
                endpoint["id"]: {key: endpoint[key] for key in ("port", "protocol", "listen")}
                for endpoint in self.request.endpoints
            },
            parts={
                **self.request.parts,
                **{place.listing.path: place.listing.checksum for place in self._placements},
            },
        )

    # --- the undo ------------------------------------------------------------------------------

    def _adopt(self) -> None:
        """Go on with a change that was cut off, or take it back if it was about other files."""
        told = take_back_other(
            self._undo, self._run, [self._manifest_path, *(f.path for f in self.request.files)]
        )
        if told:
            self._read()
        elif self._undo.is_pending:
            self._undo.tidy()
            told = [f"{self._undo.story} was cut off, and is completed"]
        self.recovered += told

    def _tidy(self) -> None:
        """Remove what was written only to be checked, by runs that were killed meanwhile."""
        for path in {os.path.dirname(file.path): file.path for file in self.request.files}.values():
            # In a folder of somebody else's, whatever is found there is theirs.
            with contextlib.suppress(UnsafePathError):
                remove_staged(path)
        runtime = self._setting.runtime
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(runtime):
                if name.startswith(CHECKED) and is_left(name):
                    shutil.rmtree(os.path.join(runtime, name))

    def _begin(self, state: ServiceState) -> None:
        unit = self.request.unit
        if not self._undo.is_pending:
            self._undo.begin(
                f"{unit}: its files and its state",
                self._setting.changer,
                self._setting.token,
                {"was_active": state.was_active},
            )
        listings = [
            listing_path(place.listing.path, self._setting.directory) for place in self._placements
        ]
        self._undo.keep(
            *((path, ANYTHING) for path in [self._manifest_path, *listings]),
            *(
                (file.path, file.wanted.sha256 if file.wanted else ABSENT)
                for file in self.changed_files
            ),
        )

    def _restore(self, error: str, state: ServiceState, manifest: t.Optional[Manifest]) -> str:
        """Put the former files and the former state back; return the message."""
        unit = self.request.unit
        codes = []

        def run(command: t.Sequence[str], stdin: t.Optional[str] = None) -> tuple[int, str, str]:
            answer = self._run(command, stdin)
            codes.append(answer[0])
            return answer

        was_active = self._undo.is_pending and self._undo.facts["was_active"]
        try:
            if self._undo.is_pending:
                self._undo.take_back(run)
        except (OSError, UndoError) as failure:
            return f"{error}\n{failure}"
        if not self._is_unit_touched:
            return f"{error}\nNothing has changed."
        if not was_active:
            return f"{error}\nThe former files are back, and {unit} is stopped, as it was."
        again = "runs with them again" if codes[-1] == 0 else "doesn't start with them either"
        if manifest and codes[-1] == 0:
            # What was installed stays, and the unit has started with it just now.
            parts = {**(manifest.parts or {}), **self.request.parts}
            self._keep_if_other(replace(manifest, parts=parts))
        return f"{error}\nThe former files are back, and {unit} {again}."

    def _keep(self, manifest: Manifest) -> None:
        os.makedirs(os.path.dirname(self._manifest_path), mode=0o755, exist_ok=True)
        write_text(self._manifest_path, manifest.as_text(), 0o600)

    def _keep_if_other(self, manifest: Manifest) -> None:
        if read_manifest(self._manifest_path) != manifest:
            remove_staged(self._manifest_path)
            self._keep(manifest)

    # --- files ---------------------------------------------------------------------------------

    def _place(self) -> None:
        """Move to its place what was downloaded."""
        for place in self._placements:
            self._undo.exchange(place.staged, place.listing.path)
            write_listing(place.listing, self._setting.directory)

    def _write(self, file: DaemonFile) -> None:
        if file.wanted is None:
            remove_file(file.path)
        else:
            write_file(file.path, file.wanted, self._setting.label)

    def _validate(self, file: DaemonFile) -> None:
        """Let the file's own program check the new content.

        The content is beside the old one, unless others could exchange it there before it is read.

        :raises DaemonError: it isn't valid.
        """
        if not file.validate or file.wanted is None:
            return
        with contextlib.ExitStack() as stack:
            path = file.path
            if not is_safe(path):
                os.makedirs(self._setting.runtime, mode=0o755, exist_ok=True)
                folder = tempfile.mkdtemp(prefix=f"{CHECKED}{writer()}", dir=self._setting.runtime)
                stack.callback(shutil.rmtree, folder)
                path = os.path.join(folder, os.path.basename(path))
            staged = stage_file(path, file.wanted, os.path.splitext(path)[1])
            stack.callback(remove_file, staged)
            words = [word.replace("%s", staged) for word in shlex.split(file.validate)]
            code, out, err = self._run(words)
        if code != 0:
            text = (err.strip() or out.strip()).replace(staged, file.path)
            raise DaemonError(f"{file.path} would not be valid. {words[0]} says:\n{text}")

    def _prepare(self) -> None:
        for step in self._unmade():
            if not is_safe(step.creates):
                raise DaemonError(
                    f"{step.creates} is in a folder that others than root may change, and root"
                    f" would run {step.command[0]} to make it there. Nobody else than root may"
                    " write to that folder"
                )
            code, out, err = self._run(step.command, step.stdin)
            if code != 0:
                raise DaemonError(
                    f"what {self.request.unit} needs before it starts could not be made:"
                    f" {step.command[0]} ended with {code}: {err.strip() or out.strip()}"
                )
            self.actions.append(f"make {step.creates}")

    # --- the unit ------------------------------------------------------------------------------

    def _bring(self, state: ServiceState, steps: t.Sequence[str]) -> None:
        unit = self.request.unit
        if not self.request.is_managed:
            return
        if state.is_blocked:
            raise DaemonError(
                f"{unit} is masked. Unmask it (systemctl unmask {unit}) or take the service off"
                " this host in the registry"
            )
        former = replace(state, was_active=self._undo.facts["was_active"])
        for step in steps:
            self._is_unit_touched = True
            self._undo.then(self._manager.way_back(unit, step, former))
            try:
                if step == "daemon-reload":
                    self._manager.read_definitions()
                else:
                    before = self._look().restarts
                    self._manager.bring(step, unit)
            except DaemonError as error:
                raise DaemonError(self._with_log(str(error))) from None
            self.actions.append(step)
            if step in ("start", "restart", "reload"):
                self._wait(before)

    def _wait(self, restarts: str) -> None:
        """Wait until the daemon listens where its files say.

        :raises DaemonError: it ends, or doesn't listen in time.
        """
        wanted = {(e["protocol"], e["port"]) for e in self.request.endpoints if e["listen"]}
        end = time.monotonic() + self.request.timeout
        known = _count(restarts)
        while True:
            state = self._look()
            # systemd counts from the beginning after a start that somebody asked for.
            known = min(known, _count(state.restarts))
            if state.has_failed or _count(state.restarts) > known:
                raise DaemonError(self._with_log(f"does not run ({state.result})"))
            missing = wanted - {(sock.protocol, sock.port) for sock in read_sockets()}
            if not missing:
                return
            if time.monotonic() > end:
                ports = listed([f"{port}/{protocol}" for protocol, port in sorted(missing)])
                told = f"does not listen on {ports} after {self.request.timeout:g} s"
                raise DaemonError(self._with_log(told))
            time.sleep(PAUSE)

    def _with_log(self, told: str) -> str:
        unit = self.request.unit
        return f"{unit} {told}\n{self._manager.log(unit)}"


def _count(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _sockets(endpoints: t.Iterable[t.Mapping[str, t.Any]]) -> set[tuple[str, str, int]]:
    return {
        (entry["protocol"], address, entry["port"])
        for entry in endpoints
        for address in entry["listen"]
    }


def _action(file: DaemonFile) -> str:
    return f"{'write' if file.wanted else 'remove'} {file.path}"


def _header(path: str, content: t.Optional[Content]) -> str:
    return f"{path} ({describe(content)})" if content else "absent"


def describe(content: Content) -> str:
    """Return permissions and owner for people: ``0644 root:root``."""
    try:
        user = pwd.getpwuid(content.uid).pw_name
        group = grp.getgrgid(content.gid).gr_name
    except KeyError:
        user, group = str(content.uid), str(content.gid)
    return f"{content.mode:04o} {user}:{group}"
