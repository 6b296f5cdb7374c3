# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A handoff in a terminal: what is wrong, what to type, what is different."""

from __future__ import annotations

import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.compare import (
    MARKS,
    Difference,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import Evidence
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.findings import (
    CRITICAL,
    Finding,
    state,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.text import counted, visible

# More of them are on the page.
SHOWN: t.Final = 12
BAD: t.Final = "bad"
WARN: t.Final = "warn"
GOOD: t.Final = "good"
PLAIN: t.Final = ""

Line = tuple[str, str]


def summary(
    evidence: Evidence,
    findings: t.Sequence[Finding],
    before: Evidence | None,
    differences: t.Sequence[Difference],
    unmet: t.Mapping[str, t.Sequence[str]],
) -> list[Line]:
    """Lines with what each of them is: `bad`, `warn`, `good` or nothing in particular."""
    lines = [_verdict(evidence, findings)]
    for number, finding in enumerate(findings[:SHOWN], 1):
        kind = BAD if finding.severity == CRITICAL else WARN
        host = f"{finding.host}: " if finding.host else ""
        lines.append((f"{number:>2}. {host}{finding.title}", kind))
        if finding.command:
            lines.append((f"    {finding.command}", PLAIN))
    if len(findings) > SHOWN:
        lines.append((f"    and {len(findings) - SHOWN} more, on the page", PLAIN))
    if before is not None:
        when = before.time.strftime("%Y-%m-%d %H:%M UTC")
        count = counted(len(differences), "difference") if differences else "no difference"
        lines.append((f"Since the handoff of {when}: {count}", PLAIN))
        for difference in differences[:SHOWN]:
            host = f"{difference.host} " if difference.host else ""
            values = " -> ".join(filter(None, (difference.before, difference.after)))
            mark = MARKS[difference.what]
            lines.append(
                (f"  {mark} {host}{difference.kind} {difference.subject}: {values}", PLAIN)
            )
        if len(differences) > SHOWN:
            lines.append((f"    and {len(differences) - SHOWN} more, on the page", PLAIN))
    for name, texts in unmet.items():
        lines.append((f"Required, and missing: {name}", BAD))
        lines += [(f"  {text}", PLAIN) for text in texts]
    return [(visible(text), kind) for text, kind in lines]


def _verdict(evidence: Evidence, findings: t.Sequence[Finding]) -> Line:
    hosts = evidence.hosts.values()
    reached = sum(host["reached"] for host in hosts)
    planned = sum(len(host["plan"]) for host in hosts)
    good = sum(row["ok"] for host in hosts for row in host["results"])
    facts = (
        f"{reached} of {counted(len(evidence.hosts), 'host')} reached,"
        f" {good} of {counted(planned, 'port')} as planned"
    )
    words = {
        "healthy": (f"Healthy: {facts}", GOOD),
        "attention": (f"Up, with {len(findings)} to look at: {facts}", WARN),
        "unhealthy": (f"Not healthy: {facts}. First of all:", BAD),
    }
    return words[state(findings)]
