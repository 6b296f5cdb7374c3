# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ports validate`"""

from __future__ import annotations

import argparse

from ansible_collections.prsnl.ports.plugins.plugin_utils.console import output, reading
from ansible_collections.prsnl.ports.plugins.plugin_utils.governance import leasing
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases, load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    RegistryError,
    shown,
)


def add(_parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def run(args: argparse.Namespace) -> int:
    """Prints every fault; 1 if there is one. Leases that have ended are warnings."""
    file, now = reading.path(args), reading.now()
    faults: list[output.Finding] = []
    warnings: list[output.Finding] = []
    registry = lent = None
    try:
        registry = load.read(file)
    except RegistryError as error:
        faults += output.findings_of(error)
    try:
        lent = leases.read(leases.beside(file))
        warnings = output.findings_in(leasing.ended(lent, now), level="warning")
    except RegistryError as error:
        faults += output.findings_of(error)
    if registry is not None and lent is not None:
        faults += output.findings_in(leasing.faults(registry, lent, now))
    if registry is not None and not faults and args.format == "text":
        print(
            f"{shown(file)}: {len(registry.endpoints)} endpoints of {len(registry.services)}"
            f" services, {len(registry.changes)} recorded changes, {len(lent or ())} leases"
        )
    output.findings([*faults, *warnings], args.format)
    return 1 if faults else 0
