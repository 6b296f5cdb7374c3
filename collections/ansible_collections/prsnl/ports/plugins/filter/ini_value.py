# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ini_value
short_description: A text as a value in Grafana's ini file
version_added: 0.2.0
description:
  - >-
      Writes it with the three quotes of Grafana's parser where it needs them. Its
      expressions, such as C($__file{...}), still count. A text of several lines is an error.
positional: _input
options:
  _input:
    description:
      - What is meant.
    type: raw
    required: true
author:
  - PRSNL Ports contributors (@prsnl)
"""

EXAMPLES = r"""
- name: Write it
  ansible.builtin.copy:
    content: |
      name = {{ title | prsnl.ports.ini_value }}
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
        return filters("ini_value")
