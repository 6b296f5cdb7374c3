# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which command is meant, and its exit code."""

from __future__ import annotations

import argparse
import importlib
import keyword
import os
import sys
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError

_COMMANDS: t.Final = f"{__package__}.commands"
FORMATS: t.Final = ("text", "json", "github")
DONE: t.Final = 0
NO: t.Final = 1
UNKNOWN: t.Final = 2

COMMANDS: t.Final[dict[str, str]] = {
    "who": "say who has a port",
    "free": "say which ports of a range are free, or whether a port is",
    "show": "show a service or an endpoint, or list them all",
    "allocate": "give an endpoint a port, the next free one unless told",
    "move": "give an endpoint another port or status",
    "retire": "take an endpoint out of use; its port stays taken",
    "lease": "lend a port for a time, extend or end that, or list what is lent",
    "validate": "check the registry and the leases",
    "history-check": "check that every change since a commit has its entry in the history",
    "check": "find the port numbers of a source tree that are of the past",
    "sync": "rewrite the port numbers of a source tree that are of the past",
    "generate": "make the files that depend on the registry anew",
    "import": "draft a registry from a guide, Compose files or the sockets of a host",
    "export": "print the registry as a guide, or for other tools",
    "completion": "print what makes a shell complete this command",
}


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    args = parser(words).parse_args(words)
    try:
        code: int = command(args.command).run(args)
    except BrokenPipeError:
        # Whoever reads has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return 130
    except (RegistryError, OSError) as error:
        output.findings(output.findings_of(error), args.format, to=sys.stderr)
        return UNKNOWN
    return code


def command(name: str) -> t.Any:
    """The module of a command."""
    module = name.replace("-", "_") + "_" * keyword.iskeyword(name)
    return importlib.import_module(f"{_COMMANDS}.{module}")


def parser(words: t.Sequence[str]) -> argparse.ArgumentParser:
    """The parser for a command line: only the command that it names has its arguments."""
    whole = argparse.ArgumentParser(
        prog="ports",
        description="The port registry: who has which port, what is free, and changes with their"
        " history.",
        epilog="Exit codes: 0 done or yes, 1 no or something was found, 2 it can't be told.",
    )
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    named = next((word for word in words if not word.startswith("-")), None)
    for name, text in COMMANDS.items():
        part = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", parents=[common()]
        )
        if name == named:
            command(name).add(part)
    return whole


def common() -> argparse.ArgumentParser:
    """The arguments that every command has."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--registry",
        metavar="FILE",
        help="the file of the registry; else PORT_REGISTRY, or path in the section [port_registry]"
        " of the ansible.cfg here or further up",
    )
    shared.add_argument("--format", choices=FORMATS, default="text", help="how to print")
    return shared
