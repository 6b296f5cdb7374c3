# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal of a move on a host: which steps were begun, which are done, what it knew before.

A move takes many tasks, on several hosts, and whatever runs them may die between any two. So what
is needed to go on, or back, is on the disk of the host that moves before it is needed. The file is
written whole, only root can read it, and it stays when the move is over, as its history.
"""

from __future__ import annotations

import json
import os
import re
import time
import typing as t
from dataclasses import asdict, dataclass, field

from ansible_collections.prsnl.ports.plugins.module_utils.host.files import read_file, write_text
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import DIRECTORY
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed, printable

MOVES = f"{DIRECTORY}/moves"
VERSION = 1
# Of which a journal keeps the latest.
HISTORY = 50
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")
# What a move is: none was begun or the last one is over; it goes on; it is being taken back.
IDLE, FORWARD, BACK = "idle", "forward", "back"


class MoveError(Exception):
    """What is asked for doesn't fit what the journal says."""


@dataclass(frozen=True)
class Past:
    """A move that is over.

    ``began`` and ``ended`` are UTC, as ISO 8601 writes it. ``outcome`` is ``moved`` or
    ``taken back``.
    """

    target: str
    outcome: str
    began: str
    ended: str
    summary: str = ""


@dataclass(frozen=True)
class Journal:
    """What a host remembers of a move.

    ``about`` is what the move found before it began, ``steps`` what it consists of, ``begun`` the
    steps that may have changed something, ``done`` those that have been verified, each in their
    order. ``runner`` says who works on it, as `lock.Changer` has it.
    """

    name: str
    state: str = IDLE
    target: str = ""
    about: t.Mapping[str, t.Any] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    began: str = ""
    runner: t.Mapping[str, t.Any] = field(default_factory=dict)
    history: tuple[Past, ...] = ()

    @property
    def undo(self) -> list[str]:
        """The steps to take back, the latest first."""
        return list(reversed(self.begun))

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data, ready for JSON."""
        return {**asdict(self), "undo": self.undo}

    def as_text(self) -> str:
        """Return the JSON text of the file."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1, sort_keys=True) + "\n"

    def opened(self, target: str, about: t.Mapping[str, t.Any], steps: t.Sequence[str]) -> Journal:
        """Return the journal of a move that begins, or goes on where it was cut off.

        What an earlier run found before it began stays.

        :raises MoveError: another move of this name is under way.
        """
        if self.state == IDLE:
            return self._with(
                state=FORWARD,
                target=target,
                about=dict(about),
                steps=tuple(steps),
                begun=(),
                done=(),
                began=_now(),
            )
        if self.target != target:
            raise MoveError(
                f"A move of {self.name} to {self.target}, begun {self.began}, isn't over"
                f" ({self.told}), and this one is to {target}. Finish it as it was begun, or take"
                " it back, as docs/moves.md tells."
            )
        strange = [step for step in self.begun if step not in steps]
        if strange:
            raise MoveError(
                f"The move of {self.name} was begun with steps that this version doesn't have:"
                f" {', '.join(strange)}. Finish it with the version that began it."
            )
        return self._with(steps=tuple(steps))

    @property
    def told(self) -> str:
        """How far it is, in words."""
        done = f"{len(self.done)} of {len(self.steps)} steps are done"
        return f"it is being taken back; {done}" if self.state == BACK else done

    def begin(self, step: str) -> Journal:
        """Return the journal in which a step may change something."""
        self._need(FORWARD, step)
        return self if step in self.begun else self._with(begun=(*self.begun, step))

    def finish(self, step: str) -> Journal:
        """Return the journal in which a step has been verified.

        :raises MoveError: it wasn't begun.
        """
        self._need(FORWARD, step)
        if step not in self.begun:
            raise MoveError(f"Step {step} of {self.name} is done, but was never begun.")
        return self if step in self.done else self._with(done=(*self.done, step))

    def turn_back(self) -> Journal:
        """Return the journal of a move that is being taken back from now on.

        :raises MoveError: there is nothing to take back.
        """
        if self.state == IDLE:
            raise MoveError(f"No move of {self.name} is under way, so none can be taken back.")
        return self._with(state=BACK)

    def forget(self, step: str) -> Journal:
        """Return the journal in which a step was taken back."""
        self._need(BACK, step)
        return self._with(
            begun=tuple(name for name in self.begun if name != step),
            done=tuple(name for name in self.done if name != step),
        )

    def close(self, summary: str) -> Journal:
        """Return the journal of a move that is over.

        :raises MoveError: it isn't.
        """
        left = [step for step in self.steps if step not in self.done]
        if self.state == IDLE:
            return self
        if self.state == FORWARD and left:
            raise MoveError(f"The move of {self.name} isn't over, {listed(left)} remains.")
        if self.state == BACK and self.begun:
            raise MoveError(f"{listed(self.undo)} of {self.name} has to be taken back still.")
        outcome = "moved" if self.state == FORWARD else "taken back"
        past = Past(self.target, outcome, self.began, _now(), printable(summary))
        return self._with(state=IDLE, runner={}, history=(*self.history, past)[-HISTORY:])

    def by(self, runner: t.Mapping[str, t.Any]) -> Journal:
        """Return the journal on which somebody works."""
        return self if self.state == IDLE else self._with(runner=dict(runner))

    def _need(self, state: str, step: str) -> None:
        if self.state != state or step not in self.steps:
            raise MoveError(
                f"Step {step} doesn't fit the journal of {self.name}: its state is {self.state},"
                f" its steps are {', '.join(self.steps) or 'none'}."
            )

    def _with(self, **changes: t.Any) -> Journal:
        return Journal(**{**{key: getattr(self, key) for key in _FIELDS}, **changes})


_FIELDS = tuple(Journal.__dataclass_fields__)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def journal_path(name: str, directory: str = MOVES) -> str:
    """Return the path of a move's journal.

    :raises MoveError: it can't be a name.
    """
    if not NAME.fullmatch(name):
        raise MoveError(
            f"{name!r} is no name of a move, allowed are lower-case letters, digits, -, _ and ."
        )
    return os.path.join(directory, f"{name}.json")


def read_journal(name: str, directory: str = MOVES) -> Journal:
    """Return the journal of a move; an idle one if there is none.

    :raises MoveError: it can't be understood, or it can't be a name.
    :raises OSError: the file is there and can't be read.
    """
    path = journal_path(name, directory)
    found = read_file(path)
    if found is None:
        return Journal(name)
    try:
        data = json.loads(found.data)
        if data.pop("version") == VERSION:
            for key in ("steps", "begun", "done"):
                data[key] = tuple(data[key])
            data["history"] = tuple(Past(**past) for past in data["history"])
            return Journal(**data)
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise MoveError(
        f"{path} can't be read by this version of the collection. Run the one that wrote it, or"
        " look there for how far the move is, finish it by hand, and remove the file."
    )


def write_journal(journal: Journal, directory: str = MOVES) -> None:
    """Keep a journal, for good.

    :raises OSError: it can't be written.
    """
    path = journal_path(journal.name, directory)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    write_text(path, journal.as_text(), 0o600)


def read_journals(directory: str = MOVES) -> list[Journal]:
    """Return the journals of a host that can be understood, by their names.

    :raises OSError: the folder can't be read.
    """
    try:
        names = sorted(name[:-5] for name in os.listdir(directory) if name.endswith(".json"))
    except FileNotFoundError:
        return []
    journals = []
    for name in names:
        try:
            journals.append(read_journal(name, directory))
        except MoveError:
            continue
    return journals
