# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: subject_alt_names
short_description: Host names and IP addresses as a certificate has them
version_added: 0.2.0
description:
  - Writes names and addresses as C(community.crypto) takes them, and as it reads them from a
    certificate - names in small letters, addresses of IPv6 in their shortest form.
positional: _input
options:
  _input:
    description:
      - Host names and IP addresses.
    type: list
    elements: str
    required: true
requirements:
  - netaddr on the controller
author:
  - PRSNL Ports contributors (@prsnl)
seealso:
  - module: community.crypto.openssl_csr_pipe
"""

EXAMPLES = r"""
- name: Ask for a certificate
  community.crypto.openssl_csr_pipe:
    privatekey_path: /etc/ssl/private/shop.key
    subject_alt_name: "{{ ['shop.example', '2001:db8::1'] | prsnl.ports.subject_alt_names }}"
"""

RETURN = r"""
_value:
  description: Them with their kinds, such as V(DNS:shop.example) and V(IP:2001:db8::1).
  type: list
  elements: str
"""

import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.addresses import parse_address


def subject_alt_names(names: t.Iterable[str]) -> list[str]:
    """`DNS:` or `IP:` and the name, each once and in the given order."""
    return list(dict.fromkeys(map(_subject_alt_name, names)))


def _subject_alt_name(name: str) -> str:
    address = parse_address(str(name))
    return f"DNS:{str(name).lower()}" if address is None else f"IP:{address}"


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {"subject_alt_names": subject_alt_names}
