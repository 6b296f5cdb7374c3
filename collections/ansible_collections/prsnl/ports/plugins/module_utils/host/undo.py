# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep on disk what a change replaces, until it is confirmed.

Before a change touches anything, it begins an undo, a folder of its own that only root can read. It
has a copy of every file that is going to be replaced, or the note that there was none, and the
programs that have to run when the files are back. All of that is on the disk before the first file
changes. `Undo.confirm` drops it in one step. Whoever changes the host next (`changing`) finds what
is left and takes it back, or goes on with it if it is a change of its own kind; either way the host
ends in the old or in the new state, whatever ended the former process at whatever moment.

An undo is taken back once, by whoever renames its record first, as a timer may want to as well.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import fcntl
import json
import os
import secrets
import shutil
import sys
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.files import (
    ASIDE,
    Content,
    UnsafePathError,
    read_file,
    remove_file,
    remove_folder,
    remove_staged,
    sync_folder,
    write_file,
    write_text,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import (
    LOCK,
    RUNTIME,
    Changer,
    HostLock,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import DIRECTORY
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed

DURABLE = f"{DIRECTORY}/undo"
# For what a reboot takes back by itself.
VOLATILE = f"{RUNTIME}/undo"
# The record of a change that may be taken back, that is being taken back, that was, or won't be.
PENDING, CLAIMED, DONE, CONFIRMED = (
    f"{state}.json" for state in ("pending", "claimed", "done", "confirmed")
)
TURN = "turn"
# Seconds to wait for whoever takes the same change back at the same time.
PATIENCE = 10.0
PAUSE = 0.1
VERSION = 1
# What a file is going to be, where that isn't known before.
ANYTHING = "anything"
ABSENT = "absent"
# What `Undo.take_back` does, without the files. It follows whoever died after its claim. What can't
# be done stays claimed, and ends with an error, so that it is tried again.
TIMER = f"""
import fcntl, json, os, subprocess, sys, time
try:
    os.chdir(sys.argv[1])
    # Not made here: it would be in the way of whoever removes the folder.
    turn = open({TURN!r}, "r+")
except FileNotFoundError:
    sys.exit()
end = time.monotonic() + {PATIENCE!r}
while time.monotonic() < end:
    try:
        fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
    except BlockingIOError:
        time.sleep({PAUSE!r})
try:
    os.rename({PENDING!r}, {CLAIMED!r})
except FileNotFoundError:
    pass
try:
    with open({CLAIMED!r}) as file:
        commands = json.load(file)["commands"]
except FileNotFoundError:
    sys.exit()
if [command for command in commands if subprocess.call(command)]:
    sys.exit(1)
os.rename({CLAIMED!r}, {DONE!r})
"""


class UndoError(Exception):
    """A change that was cut off can't be taken back now, and nothing else should be changed."""


class Undo:
    """What a change replaces.

    :param name: of the change; a later change of the same name finds it.
    :param folder: `DURABLE` or `VOLATILE`.
    """

    def __init__(self, name: str, folder: str = DURABLE) -> None:
        if not name or name.startswith(".") or "/" in name:
            raise ValueError(f"an undo can't be called {name!r}")
        self.name = name
        self.folder = os.path.join(folder, name)
        self._record: dict[str, t.Any] = {}
        for state in (PENDING, CLAIMED):
            self._record = self._record or _read_record(os.path.join(self.folder, state))

    @property
    def is_pending(self) -> bool:
        """Whether it was begun, and neither confirmed nor taken back."""
        return bool(self._record)

    @property
    def story(self) -> str:
        """What was begun, by whom and when, for people."""
        return _story(self._record)

    @property
    def token(self) -> str:
        """The token of the lock that it was begun under."""
        return str(self._record["token"])

    @property
    def facts(self) -> dict[str, t.Any]:
        """What the change wanted to remember."""
        return dict(self._record["facts"])

    @property
    def paths(self) -> list[str]:
        """The files that were kept."""
        return [entry["path"] for entry in self._record["files"]]

    @property
    def has_exchanged(self) -> bool:
        """Whether something was moved to its place, or going to be."""
        return bool(self._record["exchanges"])

    def begin(
        self,
        what: str,
        changer: t.Optional[Changer] = None,
        token: str = "",
        facts: t.Optional[t.Mapping[str, t.Any]] = None,
    ) -> None:
        """Begin a change.

        :param what: what is changed, for people, such as ``shop.service: its files``.
        :param token: of the lock, so that the later steps of the same change leave it alone.
        :param facts: what to remember from the start, as with `note`.
        :raises OSError: it can't be written.
        :raises UndoError: there is one of this name.
        """
        if self.is_pending:
            raise UndoError(f"{self.story} has to be taken back first.")
        self._record = {
            "version": VERSION,
            "what": what,
            "by": str(changer or Changer()),
            "began": time.time(),
            "token": token,
            "files": [],
            "staged": [],
            "exchanges": [],
            "commands": [],
            "facts": dict(facts or {}),
        }
        parent = os.path.dirname(self.folder)
        os.makedirs(parent, mode=0o700, exist_ok=True)
        if os.path.lexists(self.folder):
            _remove_tree(self.folder)
        os.mkdir(self.folder, 0o700)
        with open(self._path(TURN), "a", encoding="utf-8"):
            pass
        sync_folder(parent)
        self._save()

    def keep(self, *files: tuple[str, str]) -> None:
        """Keep files, or that there are none, before they are replaced.

        :param files: the path of each, and the SHA-256 of what it is going to be, or `ABSENT` or
            `ANYTHING`. A file that is something else by the time it is taken back was changed by
            others, and stays.
        :raises OSError: one can't be read or kept.
        """
        known = {entry["path"]: entry for entry in self._record["files"]}
        for path, becomes in files:
            if path not in known:
                known[path] = self._entry(path)
            if becomes not in known[path]["becomes"]:
                known[path]["becomes"].append(becomes)
        self._record["files"] = list(known.values())
        self._save()

    def _entry(self, path: str) -> dict[str, t.Any]:
        content = read_file(path)
        if content is None:
            return {"path": path, "becomes": [], "kept": None, "folders": _missing_folders(path)}
        attributes = {
            name: base64.b64encode(value).decode()
            for name, value in (content.attributes or {}).items()
        }
        return {
            "path": path,
            "becomes": [],
            "kept": os.path.basename(self.keep_data(content.data)),
            "mode": content.mode,
            "uid": content.uid,
            "gid": content.gid,
            "modified": content.modified,
            "attributes": attributes,
        }

    def keep_data(self, data: bytes) -> str:
        """Keep bytes that are no file, and return the path of theirs.

        :raises OSError: they can't be kept.
        """
        path = self._path(secrets.token_hex(8))
        write_file(path, Content(data, 0o600, os.geteuid(), os.getegid()))
        return path

    def stage(self, path: str) -> str:
        """Return a name beside a path, for what is to be moved there by `exchange`.

        Whatever has that name goes with the change, confirmed or not.

        :raises OSError: it can't be noted.
        """
        staged = _beside(path)
        self._record["staged"].append(staged)
        self._save()
        return staged

    def exchange(self, staged: str, path: str) -> None:
        """Move a file or folder to its place, and what was there out of the way.

        :raises OSError: it can't be moved.
        """
        found, aside = os.lstat(staged), _beside(path)
        inode = [found.st_dev, found.st_ino]
        self._record["exchanges"].append(
            {"path": path, "aside": aside, "out": _beside(path), "inode": inode}
        )
        self._save()
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, aside)
        os.rename(staged, path)
        sync_folder(os.path.dirname(path))

    def note(self, **facts: t.Any) -> None:
        """Remember facts that JSON can hold, such as ``was_active=True``.

        :raises OSError: they can't be written.
        """
        self._record["facts"].update(facts)
        self._save()

    def then(self, commands: t.Iterable[t.Sequence[str]], *, insist: bool = False) -> None:
        """Say which programs run when the files are back, instead of those said before.

        :param insist: nothing else is changed before they succeed.
        :raises OSError: it can't be written.
        """
        wanted = [list(command) for command in commands]
        if wanted != self._record["commands"]:
            self._record["commands"] = wanted
            self._record["insists"] = insist
            self._save()

    @property
    def is_untouched(self) -> bool:
        """Whether nobody has confirmed it, or begun to take it back."""
        return os.path.exists(self._path(PENDING))

    def timer(self) -> list[str]:
        """Return the program that takes it back, for one that has no files.

        It needs nothing but the folder and Python, and does nothing when somebody else was first.
        """
        return [sys.executable, "-I", "-c", TIMER, self.folder]

    def confirm(self) -> None:
        """Let the change last.

        :raises UndoError: it was taken back meanwhile.
        :raises OSError: it can't be dropped; then it would be taken back by the next change.
        """
        with self.turn():
            if not self._rename(PENDING, CONFIRMED):
                raise UndoError(f"{self.story} was taken back meanwhile.")
        self.drop()

    def take_back(self, run: Runner) -> list[str]:
        """Bring back what there was, and return what others have to know about it.

        :raises UndoError: a file can't be brought back; the undo stays.
        """
        remarks: list[str] = []
        with self.turn():
            self._rename(PENDING, CLAIMED)
            # Unless somebody else did, a timer for example.
            if os.path.exists(self._path(CLAIMED)):
                remarks = self._bring_back(run)
                self._rename(CLAIMED, DONE)
        self.drop()
        return remarks

    def _bring_back(self, run: Runner) -> list[str]:
        remarks = []
        for exchange in reversed(self._record["exchanges"]):
            remarks += _exchange_back(exchange)
        for entry in reversed(self._record["files"]):
            try:
                remarks += self._restore(entry)
            except UnsafePathError as error:
                remarks.append(f"{error.filename} was left alone: {error.strerror}")
            except OSError as error:
                raise UndoError(
                    f"{self.story} was cut off, and can't be taken back: {error}. Mend that, and"
                    f" run again. What there was is kept in {self.folder}."
                ) from None
        for command in self._record["commands"]:
            code, output, errors = run(command)
            told = errors.strip() or output.strip()
            if code != 0 and self._record.get("insists"):
                raise UndoError(
                    f"{self.story} was cut off, and can't be taken back: {' '.join(command)} ended"
                    f" with {code}: {told}. Mend that, and run again. What there was is kept in"
                    f" {self.folder}."
                )
            if code != 0:
                remarks.append(f"{' '.join(command)} ended with {code}: {told}")
        return remarks

    def drop(self) -> None:
        """Remove the folder.

        :raises OSError: it can't be removed.
        """
        self._record = {}
        if not os.path.lexists(self.folder):
            return
        confirmed, done = (_read_record(self._path(state)) for state in (CONFIRMED, DONE))
        for exchange in confirmed.get("exchanges", ()):
            _remove_any(exchange["aside"])
        for staged in (confirmed or done).get("staged", ()):
            _remove_any(staged)
        _remove_tree(self.folder)

    def tidy(self) -> None:
        """Remove what was written beside the files and never got into its place.

        :raises OSError: it can't be removed.
        """
        for path in self.paths:
            remove_staged(path)

    def _restore(self, entry: t.Mapping[str, t.Any]) -> list[str]:
        """Bring one file back, and return why it was not."""
        path = entry["path"]
        remove_staged(path)
        found = read_file(path)
        former = self._former(entry)
        becomes = {*entry["becomes"], former.sha256 if former else ABSENT}
        if not {found.sha256 if found else ABSENT, ANYTHING} & becomes:
            what = "changed" if found else "removed"
            return [f"{path} was {what} by somebody else since, and was left alone"]
        if former and found != former:
            write_file(path, former)
        if former is None:
            remove_file(path)
            # One that others have put something into stays.
            for folder in entry["folders"]:
                remove_folder(folder)
        return []

    def _former(self, entry: t.Mapping[str, t.Any]) -> t.Optional[Content]:
        if entry["kept"] is None:
            return None
        kept = read_file(self._path(entry["kept"]))
        if kept is None:
            raise FileNotFoundError(f"{self._path(entry['kept'])} is missing")
        return Content(
            kept.data,
            entry["mode"],
            entry["uid"],
            entry["gid"],
            {name: base64.b64decode(value) for name, value in entry["attributes"].items()},
            entry["modified"],
        )

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def _save(self) -> None:
        write_text(self._path(PENDING), json.dumps(self._record, indent=1) + "\n", 0o600)

    def _rename(self, old: str, new: str) -> bool:
        try:
            os.rename(self._path(old), self._path(new))
        except FileNotFoundError:
            return False
        sync_folder(self.folder)
        return True

    @contextlib.contextmanager
    def turn(self) -> t.Iterator[None]:
        """Keep others, its timer too, from taking the change back or confirming it meanwhile.

        :raises UndoError: they didn't finish in time.
        """
        with open(self._path(TURN), "a", encoding="utf-8") as file:
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise UndoError(
                            f"{self.story} is being taken back by another process. Run again."
                        ) from None
                time.sleep(PAUSE)
            yield


@dataclass(frozen=True)
class Recovery:
    """What became of a change that was cut off; ``is_change`` if it was taken back just now."""

    text: str
    is_change: bool


def recover(
    run: Runner,
    *,
    token: str = "",
    adopts: t.Container[str] = (),
    folders: t.Iterable[str] = (VOLATILE, DURABLE),
) -> list[Recovery]:
    """Take back what changes that were cut off have left, and return what was done.

    :param token: of the lock that is held: its own changes aren't cut off.
    :param adopts: names of changes that the caller goes on with.
    :raises UndoError: something can't be taken back.
    """
    done = []
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except FileNotFoundError:
            continue
        for name in names:
            undo = Undo(name, folder)
            if undo.is_pending and (name in adopts or (token and undo.token == token)):
                continue
            done += _finish(undo, run)
    return done


def _finish(undo: Undo, run: Runner) -> list[Recovery]:
    if undo.is_pending:
        story, remarks = undo.story, undo.take_back(run)
        told = f"; {listed(remarks)}" if remarks else ""
        return [Recovery(f"{story} was cut off, and was taken back{told}", True)]
    # Taken back by a timer; or confirmed, but not removed.
    record = _read_record(os.path.join(undo.folder, DONE))
    undo.drop()
    if not record:
        return []
    return [Recovery(f"{_story(record)} was not confirmed in time, and was taken back", False)]


def _story(record: t.Mapping[str, t.Any]) -> str:
    began = datetime.datetime.fromtimestamp(record["began"]).isoformat(" ", "seconds")
    return f"{record['what']}: what {record['by']} began at {began}"


class HostChange:
    """A change of this host, as `changing` lets it happen."""

    def __init__(self, lock: HostLock, recovered: list[Recovery]) -> None:
        self._lock = lock
        self._recovered = recovered

    @property
    def recovered(self) -> list[str]:
        """What became of changes that were cut off, for people."""
        return [recovery.text for recovery in self._recovered]

    @property
    def has_recovered(self) -> bool:
        """Whether something was taken back just now."""
        return any(recovery.is_change for recovery in self._recovered)

    @property
    def token(self) -> str:
        """What names this change."""
        return self._lock.token

    def lend(self, seconds: float) -> str:
        """Keep the lock when this process ends, and return the token for the next step.

        :param seconds: for how long at most.
        """
        return self._lock.lend(seconds)


@contextlib.contextmanager
def changing(
    changer: Changer,
    run: Runner,
    *,
    token: str = "",
    wait: float = 0.0,
    instead_of: str = "",
    adopts: t.Container[str] = (),
    path: str = LOCK,
    folders: t.Iterable[str] = (VOLATILE, DURABLE),
) -> t.Iterator[HostChange]:
    """Hold the lock of this host, after what earlier changes have left was recovered.

    The parameters are those of `HostLock` and `recover`.

    :raises LockedError: somebody else changes this host.
    :raises LostLeaseError: somebody else did since the step before.
    :raises UndoError: an earlier change can't be taken back.
    :raises OSError: the lock can't be used.
    """
    lock = HostLock(changer, path)
    lock.take(token=token, wait=wait, instead_of=instead_of)
    try:
        recovered = recover(run, token=lock.token, adopts=adopts, folders=folders)
        yield HostChange(lock, recovered)
    finally:
        lock.release()


def _read_record(path: str) -> dict[str, t.Any]:
    """Return a record; an empty one if there is none of this version."""
    found = read_file(path)
    if found is None:
        return {}
    try:
        record = dict(json.loads(found.data))
        if record["version"] == VERSION:
            return record
    except (KeyError, TypeError, ValueError):
        pass
    raise UndoError(
        f"{path} can't be read by this version of the collection. Run the one that wrote it once"
        " more, or look there for what was changed, and remove the folder."
    )


def _beside(path: str) -> str:
    return os.path.join(os.path.dirname(path), f"{ASIDE}{secrets.token_hex(8)}")


def _exchange_back(entry: t.Mapping[str, t.Any]) -> list[str]:
    """Move back what `Undo.exchange` moved, and return why it was not."""
    path, aside, out = entry["path"], entry["aside"], entry["out"]
    with contextlib.suppress(FileNotFoundError):
        found = os.lstat(path)
        if [found.st_dev, found.st_ino] == entry["inode"]:
            os.rename(path, out)
        elif os.path.lexists(aside):
            return [
                f"{path} was replaced by somebody else since, and was left alone; what was there"
                f" before is in {aside}"
            ]
    with contextlib.suppress(FileNotFoundError):
        os.rename(aside, path)
    sync_folder(os.path.dirname(path))
    _remove_any(out)
    return []


def _remove_any(path: str) -> None:
    """Remove a file or a folder under a name of ours, if it is there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(path)


def _missing_folders(path: str) -> list[str]:
    """Return the folders that have to be made for a file, the innermost first."""
    missing = []
    folder = os.path.dirname(path)
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def _remove_tree(path: str) -> None:
    """Remove the folder of a change that is over, its record last."""
    for state in (PENDING, CLAIMED):
        if os.path.exists(os.path.join(path, state)):
            raise UndoError(f"{path} has a change that wasn't taken back")
    records = (CONFIRMED, DONE)
    for name in sorted(os.listdir(path), key=lambda name: name in records):
        os.unlink(os.path.join(path, name))
    os.rmdir(path)
