# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How old backups are, by the files that they leave.

Nothing is opened, and no link is followed but those of root to folders.
"""

from __future__ import annotations

import glob
import os
import stat
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.evidence.readings import Reading
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.system import utc
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import locate

# The newest ones are shown; all of them count.
SHOWN = 5


def read_backups(patterns: t.Sequence[str]) -> tuple[dict[str, t.Any], Reading]:
    """Return how many files match, with size and time of the newest one, and the reading."""
    found = []
    for pattern in patterns:
        for path in glob.iglob(pattern, recursive=True):
            above, name = os.path.split(path)
            try:
                # It refuses what somebody else's link leads to: root sees names that they may not.
                folder, _nothing = locate(os.path.join(above, "-"))
            except OSError:
                continue
            with folder:
                status = folder.status(name)
            if status and stat.S_ISREG(status.st_mode):
                found.append((status.st_mtime, status.st_size, path))
    found.sort(reverse=True)
    lines = [f"{utc(changed)} {size} {path}" for changed, size, path in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"and {len(found) - SHOWN} older ones")
    facts = {
        "count": len(found),
        "newest": utc(found[0][0]) if found else "",
        "size": found[0][1] if found else 0,
    }
    reading = Reading("files", f"ls -lt {' '.join(patterns)}", "\n".join(lines) or "no such file")
    return facts, reading
