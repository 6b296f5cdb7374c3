# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a finder may know besides the text that it reads."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import yaml_nodes
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.kinds.compose import Project
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import Mention

Variables = t.Mapping[str, t.Sequence[Mention]]


@dataclasses.dataclass(frozen=True)
class Context:
    """The file's path in the tree, the tree's Compose files, and what they use variables for.

    `nodes` is the file itself if it is YAML and was read before.
    """

    path: str = ""
    project: Project = dataclasses.field(default_factory=Project)
    variables: Variables = dataclasses.field(default_factory=dict)
    nodes: yaml_nodes.Tree | None = None
