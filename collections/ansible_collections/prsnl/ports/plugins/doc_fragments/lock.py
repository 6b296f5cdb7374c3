# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  lock_timeout:
    description:
      - How many seconds to wait while somebody else changes the host, such as another controller.
        Whoever that is is said at once, and if it takes longer, the task fails with their name.
      - Changes of one host never mix. Whoever makes one holds the lock C(/run/prsnl-ports/lock),
        also while M(ansible.builtin.apt) and other modules do a part of the work.
    type: int
    default: 120
  lock:
    description:
      - Who changes the host. The action sets it.
    type: dict
    default: {}
    suboptions:
      controller:
        description:
          - The name of the controller.
        type: str
        default: ''
      user:
        description:
          - The user on the controller.
        type: str
        default: ''
      task:
        description:
          - The name of the task.
        type: str
        default: ''
      pid:
        description:
          - The process of Ansible on the controller.
        type: int
        default: 0
      place:
        description:
          - Where that number means something.
        type: str
        default: ''
      wait:
        description:
          - How many seconds to wait for the lock.
        type: float
        default: 0.0
      token:
        description:
          - The change that this step belongs to.
        type: str
        default: ''
      instead_of:
        description:
          - The change of a run that is known to be dead.
        type: str
        default: ''
"""
