# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be so before operations take over."""

from __future__ import annotations

import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import Evidence
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.findings import (
    CRITICAL,
    DRIFT,
    Finding,
)

Plain = dict[str, t.Any]
# What a runbook has to say. `data` and `backup` may say that there is none.
NEEDED: t.Final = ("version", "health", "configuration", "data", "backup", "failures")


def missing(evidence: Evidence, findings: t.Sequence[Finding]) -> dict[str, list[str]]:
    """By requirement, what is missing for it; those that are met have an empty list."""
    return {
        "healthy": _healthy(evidence, findings),
        "no_drift": [_line(finding) for finding in findings if finding.kind in DRIFT],
        "no_expired_lease": [finding.title for finding in findings if finding.kind == "lease"],
        "runbooks": [
            f"{service} has no {listed(gaps)}"
            for service in evidence.placed
            if (gaps := gaps_of(evidence, service))
        ],
        "contacts": [
            f"{service} has nobody to call"
            for service in evidence.placed
            if no_one(evidence, service)
        ],
    }


def _healthy(evidence: Evidence, findings: t.Sequence[Finding]) -> list[str]:
    lines = [_line(finding) for finding in findings if finding.severity == CRITICAL]
    lines += [
        f"{name}: not looked at" for name, host in evidence.hosts.items() if not host["looked"]
    ]
    return lines


def _line(finding: Finding) -> str:
    return f"{finding.host}: {finding.title}" if finding.host else finding.title


def gaps_of(evidence: Evidence, service: str) -> list[str]:
    """What the runbook of a service doesn't say."""
    _host, book = evidence.runbook(service)
    return [key for key in NEEDED if key not in book.get("declared", ())]


def no_one(evidence: Evidence, service: str) -> bool:
    """Whether nobody is set to be called about a service, or there is no way to call them."""
    contact = evidence.contact(service)
    return not contact or not (contact.get("phone") or contact.get("email") or contact.get("chat"))
