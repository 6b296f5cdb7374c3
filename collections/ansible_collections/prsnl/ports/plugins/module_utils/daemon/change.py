# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring the files of a systemd unit, and the unit itself, to a wanted state, or change nothing."""

from __future__ import annotations

import fnmatch
import grp
import os
import pwd
import shlex
import time
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.prsnl.ports.plugins.module_utils.host.files import (
    Content,
    read_file,
    stage_file,
    write_file,
    write_text,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import (
    DIRECTORY,
    Manifest,
    digest,
    manifest_path,
    read_manifest,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import read_sockets

UNITS = "/etc/systemd/system"
JOURNAL_LINES = 20
PAUSE = 0.5
# Where a host keeps what it has downloaded to install it.
CACHE = "/var/cache/prsnl-ports"


class Run(t.Protocol):
    """Starts a program."""

    def __call__(
        self, command: t.Sequence[str], stdin: t.Optional[str] = None
    ) -> tuple[int, str, str]:
        """Return its exit code, its output and its errors."""


class DaemonError(Exception):
    """What stops the change, as the operator is to read it."""


@dataclass(frozen=True)
class DaemonFile:
    """A file that a daemon reads.

    ``applied_by`` tells how the daemon takes notice of it: ``restart``, ``reload`` or ``none``.
    """

    path: str
    wanted: Content
    applied_by: str = "restart"
    validate: str = ""
    is_secret: bool = False


@dataclass(frozen=True)
class Step:
    """A program that runs once, before the unit starts: while the file ``creates`` is missing."""

    command: tuple[str, ...]
    creates: str
    stdin: str = ""


@dataclass(frozen=True)
class Request:
    """What a daemon is to be. ``endpoints`` are those of the plan that its files configure."""

    unit: str
    files: tuple[DaemonFile, ...]
    endpoints: tuple[t.Mapping[str, t.Any], ...]
    prepare: tuple[Step, ...] = ()
    is_managed: bool = True
    is_fresh: bool = False
    timeout: float = 60.0


def drop_in(unit: str, options: t.Mapping[str, t.Any], header: str) -> DaemonFile:
    """Return the file that adds options to a unit's ``[Service]`` section.

    A list becomes words with blanks between them, and a boolean ``true`` or ``false``.
    """
    lines = [header, "[Service]"]
    for name, value in sorted(options.items()):
        words = value if isinstance(value, (list, tuple)) else [value]
        texts = [str(word).lower() if isinstance(word, bool) else str(word) for word in words]
        lines.append(f"{name}={' '.join(texts)}")
    data = ("\n".join(lines) + "\n").encode()
    return DaemonFile(f"{UNITS}/{unit}.d/hardening.conf", Content(data, 0o644, 0, 0))


def find_ids(owner: str, group: str) -> tuple[int, int]:
    """Return the ids of a user and a group.

    :raises DaemonError: there is no such user or group.
    """
    try:
        return pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise DaemonError(f"no such user or group: {error.args[0]}") from None


def missing_packages(packages: t.Sequence[str], version: str, run: Run) -> list[str]:
    """Return the packages that dpkg doesn't have, or not in this version (a glob pattern).

    :raises DaemonError: the system has no dpkg.
    """
    if not packages:
        return []
    code, out, err = run(
        [
            "dpkg-query",
            "--show",
            "--showformat=${Package} ${db:Status-Status} ${Version}\n",
            *packages,
        ]
    )
    if code not in (0, 1):
        raise DaemonError(f"dpkg-query ended with {code}: {err.strip()}")
    installed = {}
    for line in out.splitlines():
        name, status, found = [*line.split(" ", 2), "", ""][:3]
        if status == "installed":
            installed[name] = found
    return [
        name
        for name in packages
        if name not in installed or not fnmatch.fnmatchcase(installed[name], version or "*")
    ]


def find_source(source: t.Mapping[str, t.Any]) -> str:
    """Return whether APT has a source of packages and its key: ``""``, ``other`` or ``absent``."""
    key = read_file(key_path(source["name"]))
    written = read_file(source_path(source["name"]))
    if written is None:
        return "absent"
    found = written.data.decode(errors="replace").splitlines()
    is_same = set(source_text(source).splitlines()) <= set(found)
    is_trusted = key is not None and f"sha256:{digest(key.data)}" == source["key_checksum"]
    return "" if is_same and is_trusted else "other"


def source_text(source: t.Mapping[str, t.Any]) -> str:
    """Return a source of packages as APT reads it.

    Source: sources.list(5), "DEB822-STYLE FORMAT".
    """
    return (
        "Types: deb\n"
        f"URIs: {source['url']}\n"
        f"Suites: {source['suite']}\n"
        f"Components: {' '.join(source['components'])}\n"
        f"Signed-By: {key_path(source['name'])}\n"
    )


def source_path(name: str) -> str:
    """Return where a source of packages is."""
    return f"/etc/apt/sources.list.d/{name}.sources"


def key_path(name: str) -> str:
    """Return where the key of a source of packages is."""
    return f"/etc/apt/keyrings/{name}.asc"


def marker_path(directory: str) -> str:
    """Return the file that has the checksum of the archive that a directory was unpacked from."""
    return os.path.join(directory, ".checksum")


def has_download(download: t.Mapping[str, t.Any]) -> bool:
    """Tell whether a file or an unpacked archive is there."""
    if download["kind"] == "file":
        found = read_file(download["path"])
        return found is not None and f"sha256:{digest(found.data)}" == download["checksum"]
    found = read_file(marker_path(download["path"]))
    return found is not None and found.data.decode().strip() == download["checksum"]


def download_folders(download: t.Mapping[str, t.Any]) -> list[str]:
    """Return the folders that have to be there before a download."""
    kind = download.get("kind", "file")
    if kind == "file":
        return []
    return [CACHE, *([download["path"]] if kind == "archive" else [])]


def prepare_installation(params: t.Mapping[str, t.Any]) -> None:
    """Write the source of packages, and make the folders of downloads.

    :raises OSError: one of them can't be written.
    """
    source = params["source"]
    if source:
        write_text(source_path(source["name"]), source_text(source), 0o644)
    for download in params["downloads"]:
        for folder in download_folders(download):
            os.makedirs(folder, mode=0o755, exist_ok=True)


def mark_archives(downloads: t.Iterable[t.Mapping[str, t.Any]]) -> None:
    """Note that archives were unpacked, which comes last: one unpacked in part counts as missing.

    :raises OSError: it can't be noted.
    """
    for download in downloads:
        if download["kind"] == "archive":
            write_text(marker_path(download["path"]), f"{download['checksum']}\n", 0o644)


def missing_parts(params: t.Mapping[str, t.Any], run: Run) -> dict[str, t.Any]:
    """Return what has to be installed, by the module's parameters.

    :raises DaemonError: the system has no dpkg.
    """
    packages = missing_packages(params["packages"], params["version"], run)
    user = params["user"]
    return {
        "packages": packages,
        "source": find_source(params["source"]) if params["source"] else "",
        "downloads": [
            download["url"]
            for download in params["downloads"]
            if (packages if download["kind"] == "deb" else not has_download(download))
        ],
        "user": user is not None and not _is_user(user),
    }


def installations(missing: t.Mapping[str, t.Any]) -> list[str]:
    """Return what is done about missing parts, for people."""
    return [
        *(["add the user"] if missing["user"] else []),
        *(["add the source of packages"] if missing["source"] else []),
        *(f"download {url}" for url in missing["downloads"]),
        *(f"install {name}" for name in missing["packages"]),
    ]


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


class Daemon:
    """A unit and its files on this host.

    :param run: starts a program; returns its exit code, output and errors.
    """

    def __init__(self, request: Request, run: Run, directory: str = DIRECTORY) -> None:
        self.request = request
        self._run = run
        self._manifest_path = manifest_path(request.unit, directory)
        self._former = {file.path: read_file(file.path) for file in request.files}
        self._written: list[DaemonFile] = []
        self._is_unit_touched = False
        self.actions: list[str] = []

    @property
    def changed_files(self) -> list[DaemonFile]:
        """The files whose content, permissions or owner differ from what is wanted."""
        return [f for f in self.request.files if self._former[f.path] != f.wanted]

    def diff(self) -> list[dict[str, str]]:
        """Return the differences of the files that aren't secret, as Ansible prints them."""
        result = []
        for file in self.changed_files:
            former = self._former[file.path]
            header = f"{file.path} ({describe(file.wanted)})"
            before = former.data.decode(errors="replace") if former else ""
            after = file.wanted.data.decode(errors="replace")
            if file.is_secret:
                before, after = "", "The content is secret.\n"
            result.append(
                {
                    "before": before,
                    "before_header": f"{file.path} ({describe(former)})" if former else "absent",
                    "after": after,
                    "after_header": header,
                }
            )
        return result

    def preview(self) -> None:
        """Note in `actions` what `apply` would do.

        :raises DaemonError: a file isn't valid.
        """
        is_new = False
        for file in self.request.files:
            if file in self.changed_files:
                # One that goes with a file which isn't there yet can't be judged without it.
                if not is_new:
                    self._validate(file)
                self.actions.append(f"write {file.path}")
            is_new = is_new or self._former[file.path] is None
        self.actions += [
            f"make {step.creates}"
            for step in self.request.prepare
            if not os.path.exists(step.creates)
        ]
        state = self._state()
        if self.request.is_managed:
            self.actions += [step for step in self._steps(state, self._pending()) if step]

    def apply(self) -> None:
        """Write the files, and bring the unit to them; note in `actions` what was done.

        Each file is checked when those before it are in place.

        :raises DaemonError: a file isn't valid, or the unit doesn't run with the new files; the
            former ones are back then, and the unit runs with them if it ran before.
        """
        request = self.request
        pending = self._pending()
        state = self._state()
        former_manifest = read_manifest(self._manifest_path)
        manifest = self._manifest()
        if (pending or self.changed_files) and request.is_managed:
            self._keep(replace(manifest, applied=False))
        try:
            for file in self.changed_files:
                self._validate(file)
                write_file(file.path, file.wanted)
                self._written.append(file)
                self.actions.append(f"write {file.path}")
            self._prepare()
            if request.is_managed:
                self._bring(state, pending)
        except (OSError, DaemonError) as error:
            raise DaemonError(self._restore(str(error), state, former_manifest)) from None
        if read_manifest(self._manifest_path) != manifest:
            self._keep(manifest)

    # --- what is there -------------------------------------------------------------------------

    def _state(self) -> dict[str, str]:
        """Return what systemd tells of the unit."""
        if not self.request.is_managed:
            return {}
        wanted = "LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,NRestarts,Result"
        out = self._run(["systemctl", "show", f"--property={wanted}", self.request.unit])[1]
        return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)

    def _pending(self) -> set[str]:
        """Return how the daemon has to take notice of files that it hasn't read yet."""
        manifest = read_manifest(self._manifest_path)
        if self.request.is_fresh or manifest is None or not manifest.applied:
            return {"restart"}
        changed = {file.path for file in self.changed_files}
        return {
            file.applied_by
            for file in self.request.files
            if file.path in changed or manifest.files.get(file.path) != digest(file.wanted.data)
        } - {"none"}

    def _manifest(self) -> Manifest:
        return Manifest(
            unit=self.request.unit,
            applied=True,
            files={file.path: digest(file.wanted.data) for file in self.request.files},
            endpoints={
                endpoint["id"]: {key: endpoint[key] for key in ("port", "protocol", "listen")}
                for endpoint in self.request.endpoints
            },
        )

    def _keep(self, manifest: Manifest) -> None:
        os.makedirs(os.path.dirname(self._manifest_path), mode=0o755, exist_ok=True)
        write_text(self._manifest_path, manifest.as_text(), 0o600)

    # --- files ---------------------------------------------------------------------------------

    def _validate(self, file: DaemonFile) -> None:
        """Let the file's own program check the new content, beside the old one.

        :raises DaemonError: it isn't valid.
        """
        if not file.validate:
            return
        staged = stage_file(file.path, file.wanted, os.path.splitext(file.path)[1])
        try:
            command = [word.replace("%s", staged) for word in shlex.split(file.validate)]
            code, out, err = self._run(command)
        finally:
            os.unlink(staged)
        if code != 0:
            text = (err.strip() or out.strip()).replace(staged, file.path)
            raise DaemonError(
                f"{file.path} would not be valid. {shlex.split(file.validate)[0]} says:\n{text}"
            )

    def _restore(
        self, error: str, state: t.Mapping[str, str], manifest: t.Optional[Manifest]
    ) -> str:
        """Put the former files and the former state back; return the message."""
        unit = self.request.unit
        for file in self._written:
            former = self._former[file.path]
            if former is None:
                os.unlink(file.path)
            else:
                write_file(file.path, former)
        if manifest is None:
            if os.path.exists(self._manifest_path):
                os.unlink(self._manifest_path)
        else:
            self._keep(manifest)
        if not self._is_unit_touched:
            return f"{error}\nNothing has changed."
        self._run(["systemctl", "daemon-reload"])
        if state.get("ActiveState") not in ("active", "reloading", "activating"):
            self._run(["systemctl", "stop", unit])
            return f"{error}\nThe former files are back, and {unit} is stopped, as it was."
        code = self._run(["systemctl", "restart", unit])[0]
        again = "runs with them again" if code == 0 else "doesn't start with them either"
        return f"{error}\nThe former files are back, and {unit} {again}."

    def _prepare(self) -> None:
        for step in self.request.prepare:
            if os.path.exists(step.creates):
                continue
            code, out, err = self._run(step.command, step.stdin)
            if code != 0:
                raise DaemonError(
                    f"what {self.request.unit} needs before it starts could not be made:"
                    f" {step.command[0]} ended with {code}: {err.strip() or out.strip()}"
                )
            self.actions.append(f"make {step.creates}")

    # --- the unit ------------------------------------------------------------------------------

    def _steps(self, state: t.Mapping[str, str], pending: set[str]) -> tuple[str, str]:
        """Return what the unit needs: how it comes to its configuration, and its start at boot."""
        is_active = state.get("ActiveState") in ("active", "reloading")
        if not is_active:
            run = "start"
        elif "restart" in pending:
            run = "restart"
        else:
            run = "reload" if pending else ""
        # What only another unit or a generator starts (enabled-runtime) may not be started one day.
        can_enable = state.get("UnitFileState") in ("disabled", "enabled-runtime", "", None)
        return run, "enable" if can_enable else ""

    def _bring(self, state: dict[str, str], pending: set[str]) -> None:
        unit = self.request.unit
        self._is_unit_touched = True
        if state.get("LoadState") == "masked":
            raise DaemonError(
                f"{unit} is masked. Unmask it (systemctl unmask {unit}) or take the service off"
                " this host in the registry"
            )
        is_new = any(file.path.startswith(f"{UNITS}/{unit}") for file in self._written)
        if is_new or state.get("NeedDaemonReload") == "yes":
            self._systemctl("daemon-reload")
        run, enable = self._steps(state, pending)
        if run:
            if run == "start":
                # A unit that gave up after many failures refuses to start for a while.
                self._run(["systemctl", "reset-failed", unit])
            before = self._state().get("NRestarts", "0")
            self._systemctl(run, unit)
            self.actions.append(run)
            self._wait(before)
        if enable:
            self._systemctl("enable", unit)
            self.actions.append("enable")

    def _wait(self, restarts: str) -> None:
        """Wait until the daemon listens where its files say.

        :raises DaemonError: it ends, or doesn't listen in time.
        """
        wanted = {(e["protocol"], e["port"]) for e in self.request.endpoints if e["listen"]}
        end = time.monotonic() + self.request.timeout
        while True:
            state = self._state()
            if state.get("ActiveState") == "failed" or state.get("NRestarts", "0") != restarts:
                raise DaemonError(self._with_journal(f"does not run ({state.get('Result')})"))
            missing = wanted - {(sock.protocol, sock.port) for sock in read_sockets()}
            if not missing:
                return
            if time.monotonic() > end:
                ports = listed([f"{port}/{protocol}" for protocol, port in sorted(missing)])
                told = f"does not listen on {ports} after {self.request.timeout:g} s"
                raise DaemonError(self._with_journal(told))
            time.sleep(PAUSE)

    def _systemctl(self, *arguments: str) -> None:
        done = self._run(["systemctl", *arguments])
        if done[0] != 0:
            raise DaemonError(self._with_journal(f"systemctl {arguments[0]}: {done[2].strip()}"))

    def _with_journal(self, told: str) -> str:
        unit = self.request.unit
        command = ["journalctl", f"--unit={unit}", f"--lines={JOURNAL_LINES}"]
        out = self._run([*command, "--no-pager", "--output=cat"])[1]
        return f"{unit} {told}\nThe last lines of its journal:\n{out.strip()}"


def describe(content: Content) -> str:
    """Return permissions and owner for people: ``0644 root:root``."""
    try:
        user = pwd.getpwuid(content.uid).pw_name
        group = grp.getgrgid(content.gid).gr_name
    except KeyError:
        user, group = str(content.uid), str(content.gid)
    return f"{content.mode:04o} {user}:{group}"
