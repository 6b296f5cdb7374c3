# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenPGP keys of gpg's own making, for tests."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest

KINDS = ("ed25519", "rsa2048", "nistp256")
needs_gpg = pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg to make keys")


class Keys:
    """Keys of gpg's own making, by their kind."""

    def __init__(self, home: pathlib.Path) -> None:
        self._home = home
        self.of = {kind: self._make(kind) for kind in KINDS}

    def _gpg(self, *words: str) -> bytes:
        command = ["gpg", f"--homedir={self._home}", "--batch", "--quiet", *words]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def _make(self, kind: str) -> str:
        words = ["--passphrase=", "--pinentry-mode=loopback", "--quick-gen-key"]
        self._gpg(*words, f"{kind} <{kind}@example.com>", kind, "sign")
        lines = self._gpg("--with-colons", "--list-keys", f"{kind}@example.com").decode()
        return next(line for line in lines.splitlines() if line.startswith("fpr")).split(":")[9]

    def export(self, *kinds: str, armor: bool = True, secret: bool = False) -> bytes:
        command = "--export-secret-keys" if secret else "--export"
        options = ["--armor"] if armor else []
        loopback = ["--passphrase=", "--pinentry-mode=loopback"] if secret else []
        return self._gpg(*options, *loopback, command, *(self.of[kind] for kind in kinds))


def make_keys(factory: pytest.TempPathFactory) -> Keys:
    """One key of each kind."""
    home = factory.mktemp("gnupg")
    home.chmod(0o700)
    return Keys(home)
