#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: elasticsearch_node
short_description: Bring the node of an Elasticsearch cluster to its wanted state
version_added: 0.5.0
description:
  - Runs M(prsnl.ports.daemon). Where that would restart a node of a cluster, the cluster is asked
    before and after (M(elasticsearch_cluster)). Its nodes take turns in a run.
  - A cluster that isn't formed yet is bootstrapped. C(cluster.initial_master_nodes) is in the
    file only until then, because Elasticsearch must not find it there later.
options:
  daemon:
    description:
      - The arguments of M(prsnl.ports.daemon).
    type: dict
    required: true
  cluster:
    description:
      - The arguments of M(elasticsearch_cluster), without the state.
    type: dict
    required: true
  initial:
    description:
      - The names of all nodes. A single one is a cluster by itself, and isn't asked.
    type: list
    elements: str
    required: true
  settings_file:
    description:
      - The path of the file of the settings, which is among those of O(daemon).
    type: path
    required: true
  found:
    description:
      - What M(elasticsearch_cluster) has found before.
    type: dict
    required: true
author:
  - PRSNL Ports contributors (@prsnl)
"""

EXAMPLES = r"""
- name: Have a node
  elasticsearch_node:
    daemon:
      unit: elasticsearch.service
      files:
        - path: /etc/elasticsearch/elasticsearch.yml
          content: "{{ lookup('ansible.builtin.template', 'elasticsearch.yml.j2') }}"
    settings_file: /etc/elasticsearch/elasticsearch.yml
    cluster: "{{ asked }}"
    initial: [search-1, search-2, search-3]
    found: "{{ looked }}"
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode.
  returned: always
  type: list
  elements: str
"""
