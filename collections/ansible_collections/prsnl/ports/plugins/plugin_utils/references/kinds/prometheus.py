# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus: the targets of jobs, in its configuration or in files that it discovers."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import places, yaml_nodes
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.kinds import settings
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import (
    Hint,
    Mention,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import word_set
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.places import (
    PLAIN,
    Setting,
)

_TARGET: t.Final = re.compile(r"(?P<host>\[[^\]]*\]|[\w.-]+):(?P<port>\d{1,5})(?=/|$)")
_KEYS: t.Final = word_set("scrape_configs alerting scrape_config_files")


def is_prometheus(root: yaml_nodes.Node) -> bool:
    """Whether a document is a configuration of Prometheus, or a file of targets."""
    if _KEYS & dict(yaml_nodes.entries(root)).keys():
        return True
    groups = yaml_nodes.items(root)
    return bool(groups) and all(yaml_nodes.get(group, "targets") is not None for group in groups)


def find(tree: yaml_nodes.Tree, setting: Setting = PLAIN) -> t.Iterator[Mention]:
    """The ports of targets, and of URLs. The setting says where Prometheus runs."""
    for root in tree.roots:
        yield from _walk(tree, root, setting)
    # Addresses of remote storage, of Alertmanager and so on.
    yield from settings.find_yaml(tree, setting)


def _walk(tree: yaml_nodes.Tree, node: yaml_nodes.Node, setting: Setting) -> t.Iterator[Mention]:
    entries = dict(yaml_nodes.entries(node))
    job = yaml_nodes.scalar(entries.get("job_name"))
    labels = [yaml_nodes.scalar(v) for _k, v in yaml_nodes.entries(entries.get("labels"))]
    around = setting.also(*((Hint.WORDS, text) for text in (*labels, job) if text))
    for target in yaml_nodes.scalars(entries.get("targets")):
        match = tree.part(target).unquoted().match(_TARGET)
        if match and places.port_of(match["port"]):
            host = match["host"]
            yield around.client(match.span("port"), ((Hint.LABEL, host), *around.names), host)
    for child in (*yaml_nodes.items(node), *entries.values()):
        yield from _walk(tree, child, around)
