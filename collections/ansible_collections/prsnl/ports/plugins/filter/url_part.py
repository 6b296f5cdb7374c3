# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: url_part
short_description: A text as a user, a password or a segment in a URL
version_added: 0.2.0
description:
  - >-
      Encodes every character that a URL gives a meaning to.
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
      redis://:{{ password | prsnl.ports.url_part }}@cache.example/0
    dest: /etc/app/app.conf
    mode: "0644"
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
        return filters("url_part")
