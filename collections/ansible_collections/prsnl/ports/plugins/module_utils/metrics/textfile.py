# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's plan, sockets and firewall as metrics for node exporter's textfile collector.

Run on the host as a program: ``textfile.py PLAN OUT [LEASES]``.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.firewall.system import judge_firewall
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import write_text
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import plain_runner
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import (
    HostEndpoint,
    read_plan,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.leases import (
    Lease,
    leases_at,
    read_leases,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import take_snapshot
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.after import (
    Verification,
    verify_plan,
)
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts.probes import (
    read_certificate,
)

LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
TIMEOUT = 5
HELP = {
    "prsnl_port_bound": "Whether a socket is bound to the port of an endpoint.",
    "prsnl_port_owner_expected": "Whether its owner holds it.",
    "prsnl_port_ok": "Whether the endpoint is as planned.",
    "prsnl_port_certificate_expiry_seconds": "The end of its certificate, since the epoch.",
    "prsnl_port_lease_expiry_seconds": "The end of the lease of a port, since the epoch.",
    "prsnl_firewall_ok": "Whether the firewall's rules are in force as they were confirmed.",
}


def render(
    results: t.Sequence[Verification],
    certificates: t.Mapping[str, float],
    now: float,
    leases: t.Sequence[Lease] = (),
    firewall: t.Optional[t.Sequence[str]] = None,
) -> str:
    """Return the metrics in Prometheus' text format.

    :param certificates: ends of certificates by endpoint, in seconds since the epoch.
    :param firewall: what is wrong with the firewall; None where the host has none of ours.
    """
    values: dict[str, list[str]] = {name: [] for name in HELP}
    for result in results:
        endpoint = result.endpoint
        if endpoint.expect != "bound":
            continue
        labels = (
            f'id="{endpoint.id}",service="{endpoint.service}",endpoint="{endpoint.name}",'
            f'port="{endpoint.port}",protocol="{endpoint.protocol}"'
        )
        samples = {
            "prsnl_port_bound": float(bool(result.sockets)),
            "prsnl_port_ok": float(result.ok),
        }
        if result.sockets:
            samples["prsnl_port_owner_expected"] = float(result.verdict != "wrong owner")
        if endpoint.id in certificates:
            samples["prsnl_port_certificate_expiry_seconds"] = certificates[endpoint.id]
        for name, value in samples.items():
            values[name].append(f"{name}{{{labels}}} {value:.0f}")
    for lease in leases:
        labels = (
            f'port="{lease.port}",protocol="{lease.protocol}",holder="{_label(str(lease.owner))}",'
            f'reason="{_label(lease.reason)}"'
        )
        name = "prsnl_port_lease_expiry_seconds"
        values[name].append(f"{name}{{{labels}}} {lease.end:.0f}")
    if firewall is not None:
        values["prsnl_firewall_ok"].append(f"prsnl_firewall_ok {float(not firewall):.0f}")
    lines = []
    for name, found in values.items():
        if found:
            lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge", *found]
    lines += [
        "# HELP prsnl_port_checked_seconds When the ports were looked at, since the epoch.",
        "# TYPE prsnl_port_checked_seconds gauge",
        f"prsnl_port_checked_seconds {now:.0f}",
    ]
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    """Return text as the value of a label."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def read_certificate_end(address: str, port: int, probe: str = "tls", name: str = "") -> float:
    """Return the end of the certificate that a server shows, in seconds since the epoch.

    :param probe: how it is spoken to, for the way to its TLS.
    :param name: of the server to ask for, where several have the port.
    :raises OSError: it can't be reached.
    :raises ValueError: what it shows has no end.
    """
    der = read_certificate(probe, LOOPBACK.get(address, address), port, TIMEOUT, name)
    command = ["openssl", "x509", "-noout", "-enddate"]
    done = subprocess.run(
        command,
        input=ssl.DER_cert_to_PEM_cert(der),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return float(ssl.cert_time_to_seconds(done.stdout.strip().partition("=")[2]))


def read_certificates(endpoints: t.Iterable[HostEndpoint]) -> dict[str, float]:
    """Return the ends of the certificates of endpoints with TLS that answer."""
    found = {}
    for endpoint in endpoints:
        if endpoint.expect == "bound" and endpoint.tls:
            try:
                found[endpoint.id] = read_certificate_end(
                    endpoint.listen[0], endpoint.port, endpoint.probe, endpoint.server_name
                )
            except (OSError, ValueError, subprocess.TimeoutExpired):
                # That it doesn't answer is told by the other metrics.
                continue
    return found


def main(plan_file: str, out: str, leases_file: str = "") -> None:
    """Write the metrics of a host, in one step."""
    with open(plan_file, encoding="utf-8") as file:
        endpoints = read_plan(json.load(file)).endpoints
    now = time.time()
    leases: list[Lease] = []
    if leases_file:
        with open(leases_file, encoding="utf-8") as file:
            leases = leases_at(read_leases(json.load(file)), now)
    snapshot = take_snapshot({endpoint.key for endpoint in endpoints})
    results = verify_plan(endpoints, snapshot, registry="", now=now, leases=leases)
    faults = judge_firewall(plain_runner)
    for fault in faults or ():
        # The journal has the words.
        sys.stdout.write(f"{fault}\n")
    text = render(results, read_certificates(endpoints), now, leases, faults)
    write_text(out, text, 0o644)


if __name__ == "__main__":
    main(*sys.argv[1:])
