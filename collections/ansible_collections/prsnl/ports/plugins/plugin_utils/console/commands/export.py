# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports export`, `ports export json`"""

from __future__ import annotations

import argparse
import os

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance.uses import UnknownError
from ansible_collections.prsnl.ports.plugins.plugin_utils.outputs import fragments
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import found, near
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import mapping
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.outputs import Output

# Vite's settings need to be told of which endpoint they are; `outputs` in the registry can.
_FORMATS = [name for name in fragments.FORMATS if name != "vite"]


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "what", nargs="?", choices=_FORMATS, default="guide", help="by default the guide"
    )
    parser.add_argument("--environment", help="only what exists in this environment")
    parser.add_argument(
        "--service", action="append", default=[], help="only this service; may be repeated"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the registry for people or for other tools."""
    registry = reading.registry(args)
    environments = mapping(registry.data.get("environments"))
    for name, known in (
        *((args.environment, environments),) * bool(args.environment),
        *((service, registry.services) for service in args.service),
    ):
        if name not in known:
            raise UnknownError(
                f"found {found(name)}, allowed is {', '.join(known)}{near(name, known)}"
            )
    # It says where it comes from, as seen from here.
    here = os.path.relpath("-", os.path.dirname(os.path.abspath(registry.file)))
    output = Output(here, args.what, args.environment, tuple(args.service))
    print(fragments.fragment(registry, output), end="")
    return 0
