# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts `ports` from wherever the collection is, as a folder or as a package.

- `python <collection>/plugins/plugin_utils/console`
- `python -m ansible_collections.prsnl.ports.plugins.plugin_utils.console`
"""

from __future__ import annotations

import pathlib
import sys

if __name__ == "__main__":
    if not __package__:
        here = pathlib.Path(__file__).resolve().parent
        # Python put this folder there, in which `output` and the like would be found.
        sys.path[:] = [str(here.parents[5]), *(p for p in sys.path if p != str(here))]
    from ansible_collections.prsnl.ports.plugins.plugin_utils.console.main import main

    sys.exit(main())
