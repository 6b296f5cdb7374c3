# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
name: port_report
type: aggregate
short_description: Print what was found of each host's ports, once, at the end
version_added: 0.1.0
description:
  - At the end of a run, prints for every host that M(prsnl.ports.port_verify) looked at one table
    with service, endpoint, address and port, expected owner, who has bound it, and the verdict.
  - With O(prsnl.ports.port_verify#module:view=drift) the table has what the registry says, what
    was configured and what is live side by side, and listeners that the registry doesn't know.
  - What differs from the plan is red, and explained below the table.
  - Where M(prsnl.ports.port_check) refused ports of a host, its conflicts follow.
  - The last result of a host counts. A run without these modules prints nothing.
  - While it is enabled, the tasks of these modules fail with a line that leads here, so that a
    fault is read once.
  - A table is at most 120 columns wide. Longer cells are cut, the verdict never.
  - After M(prsnl.ports.handoff) it prints the summary of the handoff instead.
requirements:
  - enabled in C(ansible.cfg), as C(callbacks_enabled=prsnl.ports.port_report)
author:
  - PRSNL Ports contributors (@prsnl)
seealso:
  - module: prsnl.ports.port_verify
  - module: prsnl.ports.handoff
"""

import contextlib
import typing as t

from ansible import constants as C  # noqa: N812
from ansible.errors import AnsibleError
from ansible.executor.stats import AggregateStats
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook.play import Play
from ansible.plugins.callback import CallbackBase
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import controller

VERIFY: t.Final = ("prsnl.ports.port_verify", "port_verify")
CHECK: t.Final = ("prsnl.ports.port_check", "port_check")
HANDOFF: t.Final = ("prsnl.ports.handoff", "handoff")
COLORS: t.Final = {"bad": C.COLOR_ERROR, "warn": C.COLOR_WARN, "good": C.COLOR_OK}
HEADINGS: t.Final = ("SERVICE", "ENDPOINT", "ADDRESS:PORT", "OWNER", "BOUND BY", "VERDICT")
DRIFT: t.Final = ("SERVICE", "ENDPOINT", "REGISTRY", "CONFIGURATION", "LIVE", "VERDICT")
WIDTH: t.Final = 120
GAP: t.Final = "  "


class Report(t.NamedTuple):
    """The last result of a host."""

    rows: list[dict[str, t.Any]]
    strangers: list[dict[str, t.Any]]
    others: list[str]
    is_drift: bool
    check_mode: bool
    unplanned: list[str]


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Collects results while tasks end, and prints them when the run ends."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "prsnl.ports.port_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._reports: dict[str, Report] = {}
        self._conflicts: dict[str, list[str]] = {}
        self._leases: dict[str, list[dict[str, t.Any]]] = {}
        self._handoff: dict[str, t.Any] = {}
        self._has_looked = False

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Let the run look at the inventory once, before it forks for its tasks."""
        if not self._has_looked:
            self._has_looked = True
            # The run itself tells what is wrong with the registry or the inventory.
            with contextlib.suppress(AnsibleError):
                variables = play.get_variable_manager().get_vars(play=play)
                controller.remember_hosts(variables["hostvars"])

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._collect(result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        self._collect(result)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        if self._handoff:
            self._print_handoff()
        else:
            for host, report in sorted(self._reports.items()):
                self._print(host, report)
        for host, conflicts in sorted(self._conflicts.items()):
            self._display.banner(f"CONFLICTS ON {host}: {len(conflicts)}")
            for conflict in conflicts:
                self._display.display(conflict, color=C.COLOR_ERROR)
        for host, leases in sorted(self._leases.items()):
            self._print_leases(host, leases)
        # The next playbook of the same command is another run.
        self._handoff = {}
        self._reports.clear()
        self._leases.clear()
        self._conflicts.clear()

    def _collect(self, result: CallbackTaskResult) -> None:
        task, found = result.task, result.result
        host, rows = result.host.get_name(), found.get("results")
        if task.action in HANDOFF and "summary" in found:
            self._handoff = found
        if task.action in CHECK + VERIFY and found.get("leases") and not task.loop:
            self._leases[host] = found["leases"]
        if task.action in CHECK and "conflicts" in found and not task.loop:
            # A later task of the same run may find the port free.
            self._conflicts.pop(host, None)
            if found["conflicts"]:
                self._conflicts[host] = found["conflicts"]
        if task.action in VERIFY and rows is not None and "faults" in found and not task.loop:
            self._reports[host] = Report(
                rows,
                found["unregistered"],
                [*found["configuration"], *found.get("firewall", ())],
                found.get("view") == "drift",
                bool(task.check_mode),
                found.get("unplanned", []),
            )

    def _print_handoff(self) -> None:
        self._display.banner("HANDOFF")
        for line, kind in self._handoff["summary"]:
            self._display.display(line, color=COLORS.get(kind))
        self._display.display(f"Page: {self._handoff['page']}")

    def _print(self, host: str, report: Report) -> None:
        good = sum(row["ok"] for row in report.rows)
        title = f"PORTS OF {host}: {good} of {len(report.rows)} as planned"
        if not report.rows:
            title = f"PORTS OF {host}: nothing is planned"
        if report.strangers:
            title += f", {len(report.strangers)} not registered"
        self._display.banner(title + (" (check mode)" if report.check_mode else ""))
        headings, to_cells = (DRIFT, drift_cells) if report.is_drift else (HEADINGS, cells)
        rows = [(to_cells(row), row["ok"]) for row in report.rows]
        if report.is_drift:
            rows += [(stranger_cells(row), False) for row in report.strangers]
        heading, *lines = table([headings, *(row for row, _ok in rows)])
        self._display.display(heading)
        for (_row, is_ok), line in zip(rows, lines, strict=True):
            self._display.display(line, color=C.COLOR_OK if is_ok else C.COLOR_ERROR)
        for row in report.rows:
            for message in row["messages"]:
                self._display.display(f"{row['id']}: {message}", color=C.COLOR_ERROR)
        for text in report.others:
            self._display.display(text, color=C.COLOR_ERROR)
        for text in report.unplanned:
            self._display.display(text, color=C.COLOR_WARN)
        for row in report.strangers:
            self._display.display(row["message"], color=C.COLOR_WARN)

    def _print_leases(self, host: str, leases: t.Sequence[t.Mapping[str, t.Any]]) -> None:
        ended = sum(lease["expired"] for lease in leases)
        state = f"{ended} ended" if ended else "none ended"
        self._display.banner(f"LEASES OF {host}: {len(leases)}, {state}")
        for lease in leases:
            color = C.COLOR_WARN if lease["expired"] else C.COLOR_OK
            self._display.display(lease["message"], color=color)


def cells(row: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """The cells of an endpoint's row, in the order of the headings."""
    return (
        row["service"],
        row["endpoint"],
        row["address"] + _suffix(row),
        row["owner"] or "-",
        row["bound_by"] or "-",
        row["verdict"],
    )


def drift_cells(row: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """The cells of an endpoint's row when registry, configuration and sockets are compared."""
    return (
        row["service"],
        row["endpoint"],
        row["registered"] + _suffix(row),
        row["configured"] or "-",
        row["live"] or "-",
        row["verdict"],
    )


def stranger_cells(row: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """The cells of a listener that the registry doesn't know."""
    live = f"{row['address']}{_suffix(row)} {row['held_by']}"
    return ("-", "-", "-", "-", live, "not registered")


def _suffix(row: t.Mapping[str, t.Any]) -> str:
    return "" if row["protocol"] == "tcp" else f"/{row['protocol']}"


def table(rows: t.Sequence[t.Sequence[str]], width: int = WIDTH) -> list[str]:
    """Lines of aligned columns.

    What doesn't fit into `width` characters is cut from the widest columns, never from the last.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = width - len(GAP) * (len(widths) - 1) - widths[-1]
    while sum(widths[:-1]) > room:
        widths[widths.index(max(widths[:-1]))] -= 1
    return [
        GAP.join(_fit(cell, size) for cell, size in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _fit(cell: str, size: int) -> str:
    return cell.ljust(size) if len(cell) <= size else cell[: size - 1] + "…"
