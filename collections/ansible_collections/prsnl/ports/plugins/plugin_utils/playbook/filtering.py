# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntaxes as filters of templates."""

from __future__ import annotations

import functools
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import syntaxes


def filters(name: str) -> dict[str, t.Callable[[t.Any], str]]:
    """The filter of a name, whose errors are those of a template."""
    function = syntaxes.FILTERS[name]

    @functools.wraps(function)
    def filter_(value: t.Any) -> str:
        try:
            return function(value)
        except syntaxes.SyntaxesError as error:
            raise AnsibleFilterError(f"{name}: {error}") from None

    return {name: filter_}
