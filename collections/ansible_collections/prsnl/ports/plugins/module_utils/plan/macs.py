# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How people free a port of a Mac from what isn't a service of theirs. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.known_ports import AIRPLAY
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Holder

CONTROL_CENTER = "ControlCenter"
# As Homebrew calls the jobs of its services (Homebrew::Services::FormulaWrapper).
BREW_LABEL = "homebrew.mxcl."
BREW_PROGRAM = re.compile(r"/opt/homebrew/(?:Cellar|opt)/([^/]+)/")


def how_to_stop(holder: Holder, port: int) -> t.Optional[str]:
    """Return what to stop, and by which command or setting; None where nothing is known."""
    if port in AIRPLAY and holder.process == CONTROL_CENTER:
        return "AirPlay Receiver (System Settings, General, AirDrop & Handoff)"
    label = holder.label or ""
    if label.startswith(BREW_LABEL):
        formula = label[len(BREW_LABEL) :]
        if holder.uid == 0 or holder.user == "root":
            # brew services as root would change owners below its prefix.
            return f"Homebrew's {formula} (sudo launchctl bootout system/{label})"
        return f"Homebrew's {formula} (brew services stop {formula}, as {holder.user})"
    match = BREW_PROGRAM.match(holder.executable or "")
    # With another label it is a service of somebody who knows what it is.
    if match and not label:
        return (
            f"Homebrew's {match[1]} (brew services info {match[1]} tells whether that started it)"
        )
    return None
