# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the backends start programs of the host."""

from __future__ import annotations

import os
import subprocess
import typing as t


class Runner(t.Protocol):
    """Starts a program."""

    def __call__(
        self, command: t.Sequence[str], stdin: t.Optional[str] = None
    ) -> tuple[int, str, str]:
        """Return its exit code, its output and its errors."""


def module_runner(module: t.Any) -> Runner:
    """Return what starts programs as an Ansible module does, with messages in English."""

    def run(command: t.Sequence[str], stdin: t.Optional[str] = None) -> tuple[int, str, str]:
        try:
            code, output, errors = module.run_command(
                list(command),
                data=stdin,
                environ_update={"LC_ALL": "C"},
                handle_exceptions=False,
            )
        except OSError as error:
            # As a shell says that there is no such program.
            return 127, "", f"{command[0]}: {error.strerror}"
        return code, output, errors

    return run


def plain_runner(command: t.Sequence[str], stdin: t.Optional[str] = None) -> tuple[int, str, str]:
    """Start a program where no Ansible module is, with messages in English."""
    try:
        done = subprocess.run(
            list(command),
            input=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except OSError as error:
        return 127, "", f"{command[0]}: {error.strerror}"
    return done.returncode, done.stdout, done.stderr
