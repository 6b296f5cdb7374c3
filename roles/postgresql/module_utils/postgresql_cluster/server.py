# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a running server says of itself, and what it makes of its files."""

from __future__ import annotations

import json
import os
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable

from .host import Account

# Seconds to wait for the answer to a connection.
PATIENCE = 10
# Everything in one question. It changes nothing, and has no value of a setting: some are secrets.
# Before PostgreSQL 16 the rules of pg_hba.conf have no file name.
QUESTION = """
select json_build_object(
  'port', current_setting('port')::int,
  'checksums', current_setting('data_checksums')::bool,
  'loaded', extract(epoch from pg_conf_load_time()),
  'pending', (select coalesce(json_agg(name order by name), '[]') from pg_settings where pending_restart),
  'on_start', (select coalesce(json_agg(name order by name), '[]') from pg_settings where context = 'postmaster'),
  'command_line', (select coalesce(json_agg(name order by name), '[]') from pg_settings where source = 'command line'),
  'assigned', (select coalesce(json_agg(json_build_object(
      'file', sourcefile, 'line', sourceline, 'name', name, 'error', error) order by seqno), '[]') from pg_file_settings),
  'rules', (select coalesce(json_agg(json_build_object(
      'file', coalesce(to_jsonb(r) ->> 'file_name', current_setting('hba_file')), 'line', line_number, 'name', null,
      'error', error) order by line_number), '[]') from pg_hba_file_rules r where error is not null),
  'databases', (select json_object_agg(datname, pg_get_userbyid(datdba)) from pg_database),
  'monitors', (select coalesce(json_agg(r.rolname order by r.rolname), '[]')
    from pg_auth_members m join pg_roles r on r.oid = m.member
    where m.roleid = 'pg_monitor'::regrole and r.rolcanlogin
      and not (r.rolsuper or r.rolcreatedb or r.rolcreaterole or r.rolreplication or r.rolbypassrls)))
"""  # noqa: E501
LOADED = "select extract(epoch from pg_conf_load_time())"
RELOAD = "select pg_reload_conf()"


@dataclass(frozen=True)
class Postmaster:
    """What the server has written into its data. ``since`` is in seconds since the epoch."""

    pid: int
    port: int
    sockets: str
    status: str
    since: float

    @property
    def is_starting(self) -> bool:
        """Whether it recovers from a crash, or loads still."""
        return self.status == "starting"

    @property
    def is_ready(self) -> bool:
        """Whether it takes connections."""
        return self.status in ("ready", "standby")


@dataclass(frozen=True)
class Line:
    """A line of a configuration file: what it sets, and what is wrong with it."""

    file: str
    line: t.Optional[int]
    name: t.Optional[str]
    error: t.Optional[str]

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Server:
    """A server that answers.

    ``loaded`` is when it last read its files, in seconds since the epoch. ``pending`` are settings
    that wait for a restart, ``on_start`` those that only a start can change. ``assigned`` are the
    files as they are now, in the order in which later lines prevail, ``rules`` those of who may
    connect that can't be read.
    """

    port: int
    checksums: bool
    loaded: float
    pending: frozenset[str]
    on_start: frozenset[str]
    command_line: frozenset[str]
    assigned: tuple[Line, ...]
    rules: tuple[Line, ...]
    databases: t.Mapping[str, str]
    monitors: tuple[str, ...]

    def errors(self, without: t.Container[str] = ()) -> list[str]:
        """Return what is wrong in the files as they are now.

        A changed setting that only a start can change counts as an error there, and isn't one.

        :param without: files that don't matter.
        """
        return [
            f"{line.place}: {': '.join(part for part in (line.name, line.error) if part)}"
            for line in (*self.assigned, *self.rules)
            if line.error and line.name not in self.on_start and line.file not in without
        ]

    def reads(self, path: str) -> bool:
        """Tell whether a file belongs to the configuration."""
        return any(line.file == path for line in self.assigned)

    def hidden(self, path: str, names: t.Container[str]) -> dict[str, str]:
        """Return where settings are set that prevail over those of a file, by name.

        :param names: the settings that matter.
        """
        places: dict[str, str] = {}
        ours: set[str] = set()
        for line in self.assigned:
            if line.name is None or line.name not in names:
                continue
            if line.file == path:
                ours.add(line.name)
                places.pop(line.name, None)
            elif line.name in ours or os.path.basename(line.file) == "postgresql.auto.conf":
                places[line.name] = line.place
        for name in self.command_line:
            if name in names:
                places[name] = "the command line"
        return places


def parse_postmaster(text: str, since: float) -> t.Optional[Postmaster]:
    """Return what a ``postmaster.pid`` says; None if it isn't written to its end.

    Source: src/include/utils/pidfile.h of PostgreSQL.
    """
    lines = [line.strip() for line in text.splitlines()]
    try:
        return Postmaster(int(lines[0]), int(lines[3]), lines[4], lines[7], since)
    except (IndexError, ValueError):
        return None


def find_postmaster(data: str, account: Account) -> t.Optional[Postmaster]:
    """Return the server that runs on this data; None if there is none, or it only begins to start.

    :raises ClusterError: the data can't be read.
    """
    content = account.read(f"{data}/postmaster.pid")
    if content is None:
        return None
    text = content.data.decode(errors="replace")
    found = parse_postmaster(text, (content.modified or 0) / 1e9)
    if found is None or found.pid <= 0:
        return None
    try:
        with account.acting():
            os.kill(found.pid, 0)
    except OSError:
        # It is gone, or another user's process has got its number.
        return None
    return found


def parse_server(text: str) -> Server:
    """Return the answer to `QUESTION`.

    :raises ValueError: it isn't one.
    """
    data = json.loads(text)
    return Server(
        port=data["port"],
        checksums=data["checksums"],
        loaded=float(data["loaded"]),
        pending=frozenset(data["pending"]),
        on_start=frozenset(data["on_start"]),
        command_line=frozenset(data["command_line"]),
        assigned=tuple(Line(**line) for line in data["assigned"]),
        rules=tuple(Line(**line) for line in data["rules"]),
        databases=data["databases"],
        monitors=tuple(data["monitors"]),
    )


def ask(
    question: str, postmaster: Postmaster, programs: str, account: Account, run: Runner
) -> tuple[str, str]:
    """Ask a server something through its Unix socket; return the answer, or what went wrong."""
    command = account.command(
        "env",
        f"PGCONNECT_TIMEOUT={PATIENCE}",
        f"{programs}/psql",
        "-XAtqw",
        *("-v", "ON_ERROR_STOP=1"),
        *("-h", postmaster.sockets or "localhost"),
        *("-p", str(postmaster.port)),
        *("-d", "postgres"),
        *("-c", question),
    )
    code, out, err = run(command)
    if code != 0:
        return "", err.strip() or out.strip() or f"psql ended with {code}"
    return out.strip(), ""


def ask_server(
    postmaster: Postmaster, programs: str, account: Account, run: Runner
) -> tuple[t.Optional[Server], str]:
    """Return what a server says, or why it doesn't."""
    if postmaster.is_starting:
        return None, "the database system is starting up"
    answer, error = ask(QUESTION, postmaster, programs, account, run)
    if error:
        return None, error
    try:
        return parse_server(answer), ""
    except (KeyError, TypeError, ValueError):
        return None, f"psql printed something else than the answer: {printable(answer[:200])}"
