# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: systemd_argument
short_description: A text as one word in a variable of a unit's command line
version_added: 0.2.0
description:
  - >-
      Quotes it for a variable that a unit takes in as C($ARGS), which is split into words.
positional: _input
options:
  _input:
    description:
      - What is meant.
    type: str
    required: true
author:
  - PRSNL Ports contributors (@prsnl)
"""

EXAMPLES = r"""
- name: Write it
  ansible.builtin.copy:
    content: |
      ARGS={{ words | join(' ') | prsnl.ports.systemd_environment }}
    dest: /etc/app/app.conf
    mode: "0644"
  vars:
    words: "{{ ['--title=A b', '--quiet'] | map('prsnl.ports.systemd_argument') }}"
"""

RETURN = r"""
_value:
  description: It, as it is written there.
  type: str
"""

import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook.filtering import filters


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, t.Callable[[t.Any], str]]:
        """By name."""
        return filters("systemd_argument")
