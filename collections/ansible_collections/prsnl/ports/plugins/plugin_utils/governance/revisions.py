# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Earlier states of a file, from git."""

from __future__ import annotations

import os
import subprocess

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    shown,
)


class GitError(RegistryError):
    """What git can't tell, and why."""


class Revisions:
    """The states of a file in its git repository."""

    def __init__(self, file: str) -> None:
        self._file = file
        target = os.path.realpath(file)
        self._folder, self._environment = None, dict(os.environ)
        self._said = ""
        top = self._top()
        if top is None or os.path.commonpath([top, target]) != top:
            # A hook's variables speak of the repository that is committed to.
            self._folder = os.path.dirname(target)
            for name in [name for name in self._environment if name.startswith("GIT_")]:
                del self._environment[name]
            top = self._top()
        if top is None:
            raise GitError(f"{shown(file)}: git has no earlier state of it: {self._said}")
        self._path = os.path.relpath(target, top)

    def commit(self, name: str) -> str | None:
        """The commit of a name, None if there is no such."""
        return self._line("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")

    def fork(self, name: str) -> str:
        """The commit from which the current one and that of a name came. Raises GitError."""
        commit = self.commit(name)
        if commit is None:
            raise GitError(f"found no commit {name}; fetch it, or name another --base")
        fork = self._line("merge-base", commit, "HEAD")
        if fork is None:
            raise GitError(
                f"{name} and HEAD have no common ancestor; fetch the whole history (git fetch"
                " --unshallow), or name another --base"
            )
        return fork

    def merged(self) -> list[str]:
        """The commits that are being merged into the current one."""
        path = self._line("rev-parse", "--git-path", "MERGE_HEAD")
        try:
            with open(os.path.join(self._folder or "", path or ""), encoding="ascii") as stream:
                return stream.read().split()
        except OSError:
            return []

    def content(self, commit: str) -> bytes | None:
        """The file in a commit, also under the name that it had then; None if it wasn't there."""
        found = self._run("cat-file", "blob", f"{commit}:{self._path}")
        if found is not None:
            return found
        former = self._former_name(commit)
        return self._run("cat-file", "blob", f"{commit}:{former}") if former else None

    def staged(self) -> bytes | None:
        """The file as it is going to be committed; None if it isn't. Raises GitError."""
        if self._line("ls-files", "--unmerged", "--", f":/{self._path}"):
            raise GitError(f"{shown(self._file)}: has a merge conflict; resolve it and git add it")
        return self._run("cat-file", "blob", f":{self._path}")

    def commits(self, start: str) -> list[str]:
        """The commits that changed the file, from the newest one at or before `start`."""
        log = self._run("log", "--format=%H", start, "--", f":/{self._path}") or b""
        return log.decode().split()

    def _former_name(self, commit: str) -> str | None:
        changes = self._run("diff", "--name-status", "-z", "-M", "--diff-filter=R", commit, "--")
        words = (changes or b"").decode(errors="surrogateescape").split("\0")
        for old, new in zip(words[1::3], words[2::3], strict=False):
            if new == self._path:
                return old
        return None

    def _top(self) -> str | None:
        top = self._line("rev-parse", "--show-toplevel")
        return os.path.realpath(top) if top else None

    def _line(self, *words: str) -> str | None:
        out = self._run(*words)
        return out.decode(errors="surrogateescape").strip() or None if out is not None else None

    def _run(self, *words: str) -> bytes | None:
        """What a command of git prints, None if it fails."""
        try:
            done = subprocess.run(
                ["git", *words],
                cwd=self._folder,
                env=self._environment,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            raise GitError("git isn't installed, so there are no earlier states") from None
        self._said = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        return done.stdout if done.returncode == 0 else None
