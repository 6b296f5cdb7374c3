#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: elasticsearch_cluster
short_description: Ask an Elasticsearch cluster how it is, and ready it for the restart of a node
version_added: 0.5.0
description:
  - Looks whether there is a cluster, waits until it can do without one of its nodes, and until that
    node is back.
  - While a node is restarted, only primaries are allocated, so that its shards aren't copied
    elsewhere meanwhile. Who restarts is noted in the cluster itself, by the setting
    C(cluster.metadata.prsnl_ports_restart), in the same request. So a run that was cut off is gone
    on with by the next one, and a restriction that an operator has set is left alone.
options:
  state:
    description:
      - V(looked) asks once. V(drained) waits until the node may be restarted, and prepares that.
        V(settled) waits until the node is a member again and the shards are where they should be.
        V(answering) waits until the node answers and accepts the password.
    type: str
    choices: [looked, drained, settled, answering]
    default: looked
  urls:
    description:
      - The addresses of all nodes. The first one that answers counts.
    type: list
    elements: str
    required: true
  own:
    description:
      - The address of this host's node.
    type: str
    required: true
  name:
    description:
      - The name of this host's node.
    type: str
    required: true
  data:
    description:
      - The folder of its data.
    type: path
    required: true
  authority:
    description:
      - The text of the certificates that those of the nodes are signed by, in PEM format.
    type: str
    required: true
  password:
    description:
      - The password of the user C(elastic).
    type: str
    required: true
  restart_yellow:
    description:
      - Whether a node is restarted though a shard has no replica, which can't be read meanwhile.
    type: bool
    default: false
  timeout:
    description:
      - How long to wait, in seconds.
    type: int
    default: 600
attributes:
  check_mode:
    description: Can run in check mode without changing anything.
    support: full
  diff_mode:
    description: Shows what it changes, with --diff.
    support: none
author:
  - PRSNL Ports contributors (@prsnl)
"""

EXAMPLES = r"""
- name: Look whether there is a cluster
  elasticsearch_cluster:
    urls: [https://search-1.example.com:1234, https://search-2.example.com:1234]
    own: https://search-1.example.com:1234
    name: search-1
    data: /var/lib/elasticsearch
    authority: "{{ lookup('prsnl.ports.secret', 'authority', kind='pem', create=false) }}"
    password: "{{ lookup('prsnl.ports.secret', 'elasticsearch-elastic') }}"
  register: found
"""

RETURN = r"""
formed:
  description: Whether there is a cluster, be it that this host's node was in one before.
  returned: success
  type: bool
alive:
  description: Whether it has a master by now.
  returned: success
  type: bool
member:
  description: Whether this host's node is in it by now.
  returned: success
  type: bool
accepted:
  description: Whether a node has accepted the password. V(false) also if none has answered.
  returned: success
  type: bool
versions:
  description: The versions of the nodes by their names.
  returned: success
  type: dict
restarting:
  description: The node that is noted as being restarted, empty without any.
  returned: success
  type: str
health:
  description: What the cluster says of its health, empty if there is none.
  returned: success
  type: dict
"""

import http
import os
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.host.rest import Answer, Servers
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed

USER = "elastic"
AUTHENTICATE = "/_security/_authenticate"
SETTINGS = "/_cluster/settings?flat_settings=true"
# Setting these two in one request keeps the second true about the first.
ENABLE = "cluster.routing.allocation.enable"
RESTART = "cluster.metadata.prsnl_ports_restart"
PRIMARIES = "primaries"
PAUSE = 1.0
# Of one question about the health, in seconds.
PATIENCE = 10
# How often a password is tried: a node that has just started may not know its users yet.
TRIES = 5
# With fewer voting nodes, none can be missed anyway.
QUORATE = 3
# What a cluster says that has not been formed yet.
NO_CLUSTER = ("", "_na_")


class ClusterError(Exception):
    """The cluster isn't as it has to be, as the operator is to read it."""


class Look(t.NamedTuple):
    """What the cluster tells."""

    formed: bool
    alive: bool
    member: bool
    accepted: bool
    versions: dict[str, str]
    health: dict[str, t.Any]
    restarting: str
    voters_left: bool


class Cluster:
    """The nodes of a cluster as one of its hosts sees them.

    :param nodes: who is asked.
    :param own: the address of this host's node.
    :param name: its name.
    :param pause: waits so many seconds.
    """

    def __init__(
        self,
        nodes: Servers,
        own: str,
        name: str,
        data: str,
        pause: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self._nodes = nodes
        self._own = own
        self._name = name
        self._data = data
        self._pause = pause

    def look(self) -> Look:
        """Ask once."""
        root = self._nodes.ask("/")
        # NodeEnvironment.java; only whether there is something, since its user may change it.
        was_member = os.path.lexists(os.path.join(self._data, "_state"))
        is_formed = root.status == http.HTTPStatus.OK and (
            root.content.get("cluster_uuid", "") not in NO_CLUSTER
        )
        # In the order of the addresses: a node that isn't in the cluster may answer first.
        for url in self._nodes.urls:
            answer = self._ask(f"/_cluster/health?timeout={PATIENCE}s", urls=[url])
            if answer.status in (http.HTTPStatus.OK, http.HTTPStatus.REQUEST_TIMEOUT):
                health = answer.content
                break
        else:
            return Look(
                formed=was_member or is_formed,
                alive=False,
                member=False,
                accepted=root.status == http.HTTPStatus.OK,
                versions={},
                health={},
                restarting="",
                voters_left=True,
            )
        nodes = self._ask("/_nodes/http", urls=[url]).content.get("nodes", {})
        return Look(
            formed=True,
            alive=True,
            member=any(node["name"] == self._name for node in nodes.values()),
            accepted=True,
            versions={node["name"]: node["version"] for node in nodes.values()},
            health=health,
            restarting=self._settings().get(RESTART, "").rpartition("/")[0],
            voters_left=self._can_vote_without(nodes, url),
        )

    def _can_vote_without(self, nodes: t.Mapping[str, t.Any], url: str) -> bool:
        """Tell whether there is a master without this host's node."""
        path = "metadata.cluster_coordination.last_committed_config"
        answer = self._ask(f"/_cluster/state/metadata?filter_path={path}", urls=[url])
        coordination = answer.content.get("metadata", {}).get("cluster_coordination", {})
        voting = coordination.get("last_committed_config", [])
        left = [key for key in voting if key in nodes and nodes[key]["name"] != self._name]
        return len(voting) < QUORATE or 2 * len(left) > len(voting)

    def _ask(self, path: str, method: str = "GET", **more: t.Any) -> Answer:
        return self._nodes.ask(path, method, patience=PATIENCE + 5, **more)

    # --- a restart ------------------------------------------------------------------------------

    def drain(self, timeout: float, *, allow_yellow: bool = False) -> bool:
        """Wait until the node may be restarted, and let its shards wait for it.

        :returns: whether something was changed. Nothing is if the node isn't in the cluster.
        :raises ClusterError: it may not, within so many seconds.
        """
        end = time.monotonic() + timeout
        while True:
            found = self.look()
            if not found.alive or not found.member:
                return False
            settings = self._settings()
            reason = self._reason(found, settings, allow_yellow=allow_yellow)
            if not reason:
                break
            if found.restarting not in found.versions and time.monotonic() > end - timeout / 2:
                # Its run has given up. Replicas may be made elsewhere now.
                self._release(settings)
            if time.monotonic() > end:
                raise ClusterError(
                    f"{self._name} was not restarted, because {reason}, for {timeout:g} s."
                    " Nothing was changed on this host. GET _cluster/allocation/explain tells why"
                    " a shard isn't allocated"
                )
            self._pause(PAUSE)
        noted = settings.get(RESTART, "")
        restricts = ENABLE not in settings or noted.endswith(f"/{PRIMARIES}")
        wanted: dict[str, t.Optional[str]] = {
            RESTART: f"{self._name}/{PRIMARIES if restricts else '-'}"
        }
        if restricts:
            wanted[ENABLE] = PRIMARIES
        self._set(wanted)
        # Recovery is quicker then; Elasticsearch says it may fail.
        self._ask("/_flush", "POST")
        return True

    def _reason(self, found: Look, settings: dict[str, str], *, allow_yellow: bool) -> str:
        """Return why the node must not be restarted by now; nothing if it may."""
        other = settings.get(RESTART, "").rpartition("/")[0]
        if other not in ("", self._name):
            # Its own run settles it, or the next one for it.
            return f"{other} is being restarted"
        if not found.voters_left:
            return (
                f"without it the nodes that are left ({listed(sorted(found.versions))}) elect no"
                " master"
            )
        return self._unsettled(found, allow_yellow=allow_yellow or other == self._name)

    def _unsettled(self, found: Look, *, allow_yellow: bool = False) -> str:
        """Return what is still to come before the shards are where they should be."""
        health = found.health
        status = health.get("status", "unknown")
        moving = sum(
            int(health.get(name, 0)) for name in ("initializing_shards", "relocating_shards")
        )
        if status == "green":
            return ""
        missing = int(health.get("unassigned_shards", 0))
        told = (
            f"the cluster is {status}, with {missing} shards that are not allocated and {moving}"
            " that are on their way"
        )
        # A replica is never allocated to a node that is older than its primary's.
        is_mixed = len(set(found.versions.values())) > 1
        if status == "yellow" and not moving and (allow_yellow or is_mixed):
            return ""
        return told

    def settle(self, timeout: float, *, allow_yellow: bool = False) -> None:
        """Wait until the node is back, let all shards be allocated, and wait for that.

        :raises ClusterError: it isn't so within so many seconds.
        """
        end = time.monotonic() + timeout
        while True:
            found = self.look()
            reason = self._settled(found, allow_yellow=allow_yellow)
            if not reason:
                return
            if time.monotonic() > end:
                raise ClusterError(
                    f"{self._name} was started, but {reason}, after {timeout:g} s. Other nodes are"
                    " not restarted before that is mended"
                )
            self._pause(PAUSE)

    def _settled(self, found: Look, *, allow_yellow: bool) -> str:
        if not found.alive:
            return (
                "there is no master: more than half of the nodes have to run, and to reach each"
                " other at the addresses that they publish"
            )
        if not found.member:
            return f"it is not in the cluster of {listed(sorted(found.versions))}"
        if found.restarting == self._name:
            self._release(self._settings())
            found = found._replace(health=self._ask("/_cluster/health").content)
        return self._unsettled(found, allow_yellow=allow_yellow)

    def _release(self, settings: t.Mapping[str, str]) -> None:
        """Take back what `drain` did for whoever was restarted."""
        wanted: dict[str, t.Optional[str]] = {RESTART: None}
        is_ours = settings.get(RESTART, "").endswith(f"/{PRIMARIES}")
        if is_ours and settings.get(ENABLE) == PRIMARIES:
            wanted[ENABLE] = None
        self._set(wanted)

    def _settings(self) -> dict[str, str]:
        found = self._ask(SETTINGS).content
        return {
            str(name): str(value)
            for kind in ("transient", "persistent")
            for name, value in (found.get(kind) or {}).items()
        }

    def _set(self, wanted: t.Mapping[str, t.Optional[str]]) -> None:
        answer = self._ask(SETTINGS, "PUT", body={"persistent": wanted})
        if answer.status != http.HTTPStatus.OK:
            raise ClusterError(
                f"the cluster doesn't take {listed(sorted(wanted))}: {answer.text[:200]}"
            )

    # --- the password ---------------------------------------------------------------------------

    def answers(self, timeout: float) -> None:
        """Wait until this host's node accepts the password.

        :raises ClusterError: it doesn't.
        """
        end = time.monotonic() + timeout
        tries = 0
        while True:
            answer = self._ask(AUTHENTICATE, urls=[self._own])
            if answer.status == http.HTTPStatus.OK:
                return
            is_refused = answer.status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN)
            tries += is_refused
            is_late = time.monotonic() > end
            if tries >= TRIES or (is_late and is_refused):
                raise ClusterError(f"refused: {answer.text}")
            if is_late:
                raise ClusterError(f"Elasticsearch was waited for {timeout:g} s: {answer.text}")
            self._pause(3 * PAUSE)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["looked", "drained", "settled", "answering"],
                "default": "looked",
            },
            "urls": {"type": "list", "elements": "str", "required": True},
            "own": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "data": {"type": "path", "required": True},
            "authority": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "restart_yellow": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    params = module.params
    is_changed = False
    try:
        nodes = Servers(params["urls"], params["authority"], USER, params["password"])
    except (OSError, ValueError) as error:
        if not module.check_mode:
            module.fail_json(msg=f"The authority can't be used: {error}")
        # It may be still to be made, and then there is no cluster.
        nodes = Servers([], "", USER, params["password"])
    cluster = Cluster(nodes, params["own"], params["name"], params["data"])
    allow = params["restart_yellow"]
    refused = False
    try:
        if not module.check_mode:
            if params["state"] == "drained":
                is_changed = cluster.drain(params["timeout"], allow_yellow=allow)
            elif params["state"] == "settled":
                cluster.settle(params["timeout"], allow_yellow=allow)
            elif params["state"] == "answering":
                cluster.answers(params["timeout"])
        found = cluster.look()
    except ClusterError as error:
        refused = str(error).startswith("refused: ")
        module.fail_json(msg=str(error), refused=refused)
    module.exit_json(changed=is_changed, **found._asdict())


if __name__ == "__main__":
    main()
