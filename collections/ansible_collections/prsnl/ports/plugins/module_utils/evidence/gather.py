# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that a host is asked for a handoff, in one go. Nothing is changed."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.evidence.answers import (
    Question,
    now,
    read_certificate,
    read_packages,
)
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.backups import read_backups
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.paths import read_paths
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.readings import (
    Reading,
    read_all,
)
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.system import (
    is_linux,
    read_file_systems,
    read_memory,
    read_system,
    read_units,
)
from ansible_collections.prsnl.ports.plugins.module_utils.moves.journal import (
    IDLE,
    MOVES,
    read_journals,
)
from ansible_collections.prsnl.ports.plugins.module_utils.plan.endpoints import (
    HostEndpoint,
    read_plan,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import (
    describe,
    take_snapshot,
)

LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


@dataclass(frozen=True)
class Wanted:
    """What is to be asked.

    ``packages``, ``backups`` (patterns of files) and ``paths`` are by service; ``timeout`` is for
    each question, in seconds.
    """

    plan: t.Mapping[str, t.Any]
    questions: tuple[Question, ...]
    packages: t.Mapping[str, t.Sequence[str]]
    backups: t.Mapping[str, t.Sequence[str]]
    paths: t.Sequence[str]
    firewall: bool
    timeout: float

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Wanted:
        """Return what the module's arguments ask for.

        :raises ValueError: an argument isn't what it should be.
        """
        return cls(
            params["plan"],
            tuple(map(Question.from_dict, params["questions"])),
            params["packages"],
            params["backups"],
            params["paths"],
            params["firewall"],
            params["timeout"],
        )


def gather(wanted: Wanted) -> dict[str, t.Any]:
    """Return the host's facts, each with the reading that it was taken from, and the readings.

    :raises ValueError: the plan isn't one.
    """
    endpoints = read_plan(wanted.plan).endpoints
    timeout = wanted.timeout
    started = now()
    answers = read_all({q.id: _asking(q, timeout) for q in wanted.questions})
    system, readings = read_system(timeout)
    memory, memory_readings = read_memory(timeout)
    file_systems, disk_readings = read_file_systems(["/", *wanted.paths])
    units, failed_units, unit_readings = read_units(_units(endpoints), timeout)
    readings.update({**memory_readings, **disk_readings, **unit_readings, **answers})
    firewall: dict[str, t.Any] = {"state": "not asked", "paths": [], "missing": [], "extra": []}
    if wanted.firewall:
        firewall, readings["firewall"] = read_paths(wanted.plan, timeout)
    packages, readings["packages"] = _packages(wanted)
    certificates = {}
    for endpoint in endpoints:
        if endpoint.expect == "bound" and endpoint.tls:
            name = f"certificate-{endpoint.id}"
            address = LOOPBACK.get(endpoint.listen[0], endpoint.listen[0])
            facts, readings[name] = read_certificate(
                address, endpoint.port, timeout, endpoint.probe
            )
            certificates[endpoint.id] = {**facts, "reading": name}
    backups = {}
    for service, patterns in wanted.backups.items():
        name = f"backup-{service}"
        facts, readings[name] = read_backups(patterns)
        backups[service] = {**facts, "reading": name}
    readings["sockets"] = read_sockets()
    moves = read_moves()
    if moves is not None:
        readings["moves"] = moves
    return {
        "time": started,
        "system": system,
        "memory": memory,
        "disks": [file_system.as_dict() for file_system in file_systems],
        "units": units,
        "failed_units": failed_units,
        "answers": {q.id: q.judge(answers[q.id]) for q in wanted.questions},
        "packages": packages,
        "firewall": firewall,
        "certificates": certificates,
        "backups": backups,
        "readings": {name: reading.as_dict() for name, reading in sorted(readings.items())},
    }


def _asking(question: Question, timeout: float) -> t.Callable[[], Reading]:
    return lambda: question.ask(timeout)


def _units(endpoints: t.Iterable[HostEndpoint]) -> set[str]:
    return {unit for e in endpoints if e.expect != "silent" for unit in e.owner.units}


def _packages(wanted: Wanted) -> tuple[dict[str, dict[str, str]], Reading]:
    names = {name for some in wanted.packages.values() for name in some}
    if not names or not is_linux():
        text = "no package is declared" if not names else "only dpkg is asked"
        return {}, Reading("command", "dpkg-query -W", fault=text)
    found, reading = read_packages(names, wanted.timeout)
    by_service = {
        service: {name: found[name] for name in some if name in found}
        for service, some in wanted.packages.items()
    }
    return {service: some for service, some in by_service.items() if some}, reading


def read_moves() -> t.Optional[Reading]:
    """Quote what was moved on the host, the latest last, and what isn't over; None if nothing."""
    lines = []
    for journal in read_journals():
        for past in journal.history:
            if past.outcome == "moved":
                what = past.summary.rstrip(".") or f"{journal.name} to {past.target}"
                lines.append((past.ended, f"{what} (moved on {past.ended[:10]})"))
        if journal.state != IDLE:
            text = f"{journal.name} to {journal.target}, begun {journal.began}, isn't over"
            lines.append((journal.began, text))
    text = "\n".join(line for _when, line in sorted(lines))
    return Reading("files", f"{MOVES}/*.json", text) if text else None


def read_sockets() -> Reading:
    """Quote every listening socket of the host with who holds it, one a line."""
    source = "listening sockets (sock_diag, /proc)" if is_linux() else "listening sockets (libproc)"
    try:
        snapshot = take_snapshot()
    except OSError as error:
        return Reading("kernel", source, fault=str(error))
    lines = []
    for row in describe(snapshot):
        address = f"[{row['address']}]" if row["family"] == "ipv6" else row["address"]
        holder = row["process"] or "unknown"
        words = [row["protocol"], f"{address}:{row['port']}", holder]
        for label in ("pid", "user", "unit", "since", "container"):
            if row[label]:
                words.append(f"{label}={row[label]}")
        lines.append(" ".join(words))
    return Reading("kernel", source, "\n".join(lines))
