# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Homebrew as the installer of packages on a Mac.

Its prefix belongs to a user, and brew refuses to run as root. So what is there is read from its
folders, and what is missing is installed by community.general's module as that user, who stays the
owner of everything below the prefix. Not tried on a Mac.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    DaemonError,
    Installed,
    Missing,
    Parts,
    StockStep,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import Undo
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import user_name

# Of Apple Silicon; https://docs.brew.sh/Installation.
PREFIX = "/opt/homebrew"
# Written when a formula is installed, and not before: `Tab` in Homebrew's tab.rb.
RECEIPT = "INSTALL_RECEIPT.json"
# The module can't tell what is installed of a name with a tap.
FORMULA = re.compile(r"[a-z0-9][a-z0-9.+_-]*(@[0-9.]+)?")
# Of users that nobody logs in as; /usr/bin/false and /var/empty are macOS's own.
NOBODY = {"home": "/var/empty", "shell": "/usr/bin/false", "hidden": True}


class Homebrew:
    """The formulae on this Mac.

    :param root: the folder that all files are below; the tests' own instead of ``/``.
    :param user: the owner of the prefix, where the controller was told; else it is looked up.
    """

    # Nothing but what is missing is installed, updated or removed; brew(1), ENVIRONMENT.
    environment: t.Mapping[str, str] = {
        "HOMEBREW_NO_ANALYTICS": "1",
        "HOMEBREW_NO_AUTO_UPDATE": "1",
        "HOMEBREW_NO_ENV_HINTS": "1",
        "HOMEBREW_NO_INSTALLED_DEPENDENTS_CHECK": "1",
        "HOMEBREW_NO_INSTALL_CLEANUP": "1",
        "HOMEBREW_NO_INSTALL_UPGRADE": "1",
    }
    nobody: t.Mapping[str, t.Any] = NOBODY

    def __init__(self, root: str = "", user: str = "") -> None:
        self._root = root
        self._user = user

    # --- on the host ---------------------------------------------------------------------------

    @property
    def facts(self) -> dict[str, str]:
        """Who owns the prefix."""
        return {"homebrew": self._user or self._owner()}

    def installed(self, names: t.Sequence[str]) -> dict[str, Installed]:
        """By the links of the prefix, which lead from names and aliases to formulae."""
        found = {}
        for name in names:
            if not FORMULA.fullmatch(name):
                raise DaemonError(
                    f"{name} is no name of a formula. Allowed are plain ones, like postgresql@16;"
                    " a tap has to be added beforehand (brew tap), and left out here"
                )
            keg = os.path.realpath(f"{self._prefix}/opt/{name}")
            rack, version = os.path.split(keg)
            if os.path.exists(os.path.join(keg, RECEIPT)):
                formula = os.path.basename(rack)
                found[name] = Installed(version, "" if formula == name else formula)
        return found

    def find_source(self, source: t.Mapping[str, t.Any]) -> str:
        """Refuse it: those are APT's."""
        raise DaemonError(
            f"{source['name']} is a source of packages for APT, and a Mac has none. Leave source"
            " out: Homebrew has its own formulae"
        )

    def missing_tools(self) -> list[str]:
        """The module needs nothing but brew."""
        return []

    def begin(self, parts: Parts, missing: Missing, undo: Undo, guard: Undo) -> None:
        """Refuse what brew can't do. It starts no services when it installs."""
        del undo, guard
        if any(download.kind == "deb" for download in parts.downloads):
            raise DaemonError("a download of the kind deb is Debian's, and a Mac can't install it")
        if not missing.packages:
            return
        self._owner()
        if parts.version:
            raise DaemonError(
                f"version is {parts.version}, and Homebrew installs the newest of a formula only."
                f" Leave it out, or name a formula of that version (brew search"
                f" {missing.packages[0]}@)"
            )

    def _owner(self) -> str:
        try:
            uid = os.stat(self._prefix).st_uid
        except FileNotFoundError:
            raise DaemonError(
                f"{PREFIX} is missing. Install Homebrew as the user who is going to own it:"
                " https://brew.sh"
            ) from None
        if uid == 0:
            raise DaemonError(
                f"{PREFIX} belongs to root, and brew refuses to run as root. Reinstall Homebrew as"
                " an ordinary user"
            )
        return user_name(uid)

    @property
    def _prefix(self) -> str:
        return self._root + PREFIX

    # --- on the controller ---------------------------------------------------------------------

    def steps(self, parts: Parts, missing: Missing, packages: t.Sequence[str]) -> list[StockStep]:
        """By community.general.homebrew, as the owner of the prefix."""
        del parts, packages
        if not missing.packages:
            return []
        wanted = {"name": list(missing.packages), "state": "present", "path": f"{PREFIX}/bin"}
        again = {"update_homebrew": True}
        return [StockStep("community.general.homebrew", wanted, retry=again, user=self._user)]

    def unpack(self, path: str, folder: str) -> StockStep:
        """By macOS's own tar: ansible.builtin.unarchive wants GNU's."""
        command = {"argv": ["/usr/bin/tar", "-x", "-f", path, "-C", folder]}
        return StockStep("ansible.builtin.command", command)
