# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hashes of passwords and tokens, and the keystores of Elasticsearch and Kibana."""

from __future__ import annotations

import argparse
import base64
import getpass
import hashlib
import hmac
import json
import os
import pathlib
import secrets
import shutil
import sys
import typing as t

from standin import strict

ROUNDS: t.Final = 1000  # few, since an emulated host pays for each of them


def digest(word: str, salt: str = "") -> str:
    """A salted hash in Elasticsearch's notation."""
    salt = salt or base64.b64encode(secrets.token_bytes(16)).decode()
    found = hashlib.pbkdf2_hmac("sha512", word.encode(), salt.encode(), ROUNDS, 32)
    return f"{{PBKDF2}}{ROUNDS}${salt}${base64.b64encode(found).decode()}"


def matches(word: str, wanted: str) -> bool:
    """Whether the hash is that of ``word``."""
    parts = wanted.split("$")
    return len(parts) == 3 and hmac.compare_digest(digest(word, parts[1]), wanted)


def replace(path: pathlib.Path, text: str, mode: int) -> None:
    """Write a file at once, with its directory's group, as the vendors' tools do."""
    new = path.with_name(f"{path.name}.tmp")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    new.chmod(mode)
    if os.geteuid() == 0:
        shutil.chown(new, 0, path.parent.stat().st_gid)
    new.replace(path)


class Keystore:
    """Settings that are kept out of the configuration file."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def read(self) -> dict[str, str]:
        """Its settings; none if it was not created yet.

        :raises strict.RefusedError: it is no keystore.
        """
        try:
            return dict(json.loads(self.path.read_text(encoding="utf-8"))["settings"])
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError):
            raise strict.RefusedError(f"{self.path} is not a keystore of this stand-in") from None

    def write(self, settings: t.Mapping[str, str]) -> None:
        content = {"stand-in": True, "settings": dict(sorted(settings.items()))}
        replace(self.path, json.dumps(content), 0o660)


def keystore_tool(
    program: str, keystore: Keystore, names: strict.Names, seed: str, arguments: list[str]
) -> None:
    """The vendors' ``*-keystore`` commands.

    :param seed: a setting that a new keystore has from the beginning; empty for none.
    :raises strict.RefusedError: a command can't be done.
    """
    parser = argparse.ArgumentParser(program, description="The lab's stand-in for this tool.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("create").add_argument("-s", "--silent", action="store_true")
    commands.add_parser("list")
    add = commands.add_parser("add")
    add.add_argument("-f", "--force", action="store_true")
    add.add_argument("-x", "--stdin", action="store_true")
    add.add_argument("settings", nargs="+")
    for name in ("remove", "show"):
        commands.add_parser(name).add_argument("settings", nargs="+")
    commands.add_parser("has-passwd")
    commands.add_parser("upgrade")
    chosen = parser.parse_args(arguments)
    found = keystore.read()
    if chosen.command == "create":
        if keystore.path.exists():
            raise strict.RefusedError(f"{keystore.path} already exists")
        keystore.write({seed: secrets.token_urlsafe(15)} if seed else {})
        print(f"Created keystore in {keystore.path}")
    elif chosen.command == "has-passwd":
        raise strict.RefusedError("Keystore is not password-protected")
    elif chosen.command == "list":
        print("\n".join(sorted(found)))
    elif chosen.command == "add":
        for name in chosen.settings:
            found[name] = _new_value(chosen, name, name in found, names)
        keystore.write(found)
    else:
        for name in getattr(chosen, "settings", []):
            if name not in found:
                raise strict.RefusedError(f"Setting [{name}] does not exist in the keystore.")
            if chosen.command == "show":
                print(found[name])
            else:
                del found[name]
        keystore.write(found)


def _new_value(chosen: argparse.Namespace, name: str, exists: bool, names: strict.Names) -> str:
    if name not in names:
        raise strict.RefusedError(f"unknown secure setting [{name}].{names.nearest(name)}")
    if exists and not chosen.force:
        raise strict.RefusedError(f"{name} is already in the keystore; use --force")
    line = sys.stdin.readline() if chosen.stdin else getpass.getpass(f"Enter {name}: ")
    return line.rstrip("\n")
