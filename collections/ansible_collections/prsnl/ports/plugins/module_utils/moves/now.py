# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On which port a host serves an endpoint now, whatever the registry says."""

from __future__ import annotations

import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import Manifest
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import HostEndpoint
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Snapshot


class UnknownPortError(Exception):
    """Nobody can tell on which port an endpoint is served."""


def port_now(
    endpoint: HostEndpoint,
    endpoints: t.Iterable[HostEndpoint],
    manifests: t.Iterable[Manifest],
    snapshot: Snapshot,
    registry: str,
) -> int:
    """Return the port; 0 if its owner listens nowhere.

    The owner's socket tells. What was rendered for the endpoint decides where the owner has several
    ports. Ports of the owner's other endpoints don't count.

    :param endpoints: all of the host's plan.
    :param registry: the file that messages send the reader to.
    :raises UnknownPortError: the owner has several ports, and nothing tells which one it is.
    """
    others = {other.key for other in endpoints if other.id != endpoint.id and other.listen}
    ports = {
        sock.port
        for sock in snapshot.sockets
        if not sock.state
        and sock.protocol == endpoint.protocol
        and (sock.protocol, sock.port) not in others
        and endpoint.has(sock, snapshot)
    }
    if len(ports) <= 1:
        return ports.pop() if ports else 0
    for manifest in manifests:
        noted = manifest.endpoints.get(endpoint.id, {}).get("port")
        if noted in ports:
            return int(noted)
    if endpoint.port in ports:
        return endpoint.port
    raise UnknownPortError(
        f"The owner of {endpoint.id} listens on {', '.join(map(str, sorted(ports)))}, and nothing"
        f" tells which one it is. Describe the owner more closely in {registry}, or give the port"
        " with -e move_port_from=..."
    )
