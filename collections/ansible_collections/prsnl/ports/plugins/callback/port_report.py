# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""See DOCUMENTATION."""

from __future__ import annotations

DOCUMENTATION = r"""
name: port_report
type: aggregate
short_description: Print one table per host of what M(prsnl.ports.port_verify) found
version_added: 0.1.0
description:
  - At the end of a run, prints for every host that M(prsnl.ports.port_verify) looked at one table
    with service, endpoint, address and port, expected owner, who has bound it, and the verdict.
  - What differs from the plan is red, and explained below the table.
  - The last result of a host counts. A run without M(prsnl.ports.port_verify) prints nothing.
  - A table is at most 120 columns wide. Longer cells are cut, the verdict never.
requirements:
  - enabled in C(ansible.cfg), as C(callbacks_enabled=prsnl.ports.port_report)
author:
  - PRSNL Ports contributors (@prsnl)
seealso:
  - module: prsnl.ports.port_verify
"""

import typing as t

from ansible import constants as C  # noqa: N812
from ansible.executor.stats import AggregateStats
from ansible.executor.task_result import CallbackTaskResult
from ansible.plugins.callback import CallbackBase

ACTIONS: t.Final = ("prsnl.ports.port_verify", "port_verify")
HEADINGS: t.Final = ("SERVICE", "ENDPOINT", "ADDRESS:PORT", "OWNER", "BOUND BY", "VERDICT")
WIDTH: t.Final = 120
GAP: t.Final = "  "


class Report(t.NamedTuple):
    """The last result of a host."""

    rows: list[dict[str, t.Any]]
    check_mode: bool


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Collects results while tasks end, and prints them when the run ends."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "prsnl.ports.port_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._reports: dict[str, Report] = {}

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._collect(result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        self._collect(result)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        for host, report in sorted(self._reports.items()):
            self._print(host, report)
        # The next playbook of the same command is another run.
        self._reports.clear()

    def _collect(self, result: CallbackTaskResult) -> None:
        rows = result.result.get("results")
        if result.task.action in ACTIONS and rows and not result.task.loop:
            self._reports[result.host.get_name()] = Report(rows, bool(result.task.check_mode))

    def _print(self, host: str, report: Report) -> None:
        good = sum(row["ok"] for row in report.rows)
        title = f"PORTS OF {host}: {good} of {len(report.rows)} as planned"
        self._display.banner(title + (" (check mode)" if report.check_mode else ""))
        heading, *lines = table([HEADINGS, *(cells(row) for row in report.rows)])
        self._display.display(heading)
        for row, line in zip(report.rows, lines, strict=True):
            self._display.display(line, color=C.COLOR_OK if row["ok"] else C.COLOR_ERROR)
        for row in report.rows:
            for message in row["messages"]:
                self._display.display(f"{row['id']}: {message}", color=C.COLOR_ERROR)


def cells(row: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """The cells of an endpoint's row, in the order of the headings."""
    suffix = "" if row["protocol"] == "tcp" else f"/{row['protocol']}"
    return (
        row["service"],
        row["endpoint"],
        row["address"] + suffix,
        row["owner"] or "-",
        row["bound_by"] or "-",
        row["verdict"],
    )


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
