# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What a host can be asked to have."""

    DOCUMENTATION = r"""
options:
  architectures:
    description:
      - The machine names that are allowed, as C(uname -m) prints them. Any, if it is empty.
    type: list
    elements: str
    default: []
  systems:
    description:
      - The systems that are allowed. Any, if it is empty.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The C(ID) of C(/etc/os-release), or V(macos).
        type: str
        required: true
      min_version:
        description:
          - The oldest C(VERSION_ID), or version of macOS, that is allowed.
        type: str
        required: true
      lts:
        description:
          - Whether only releases with long-term support are allowed.
        type: bool
        default: false
  service_manager:
    description:
      - The service manager that has to run, such as V(systemd) or V(launchd). Any, if it is empty.
    type: str
    default: ''
  memory_mb:
    description:
      - The memory that is needed, in MiB. The limit of a container counts.
    type: int
    default: 0
  disks:
    description:
      - The free disk space that is needed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - An absolute path. If it doesn't exist yet, the file system counts that it would be on.
        type: path
        required: true
      free_mb:
        description:
          - The space that has to be free there, in MiB.
        type: int
        required: true
"""
