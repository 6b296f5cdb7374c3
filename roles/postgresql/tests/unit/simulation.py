# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with systemd, Debian's postgresql-common and PostgreSQL, on real files below a folder.

What the programs know is kept in a file as well, so a process that is killed leaves it as it is on
a real host. The backend reads and writes real files; only programs are simulated.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import time
import typing as t

import cuts
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import Changer
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import HostChange, changing
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Socket
from postgresql_cluster import service
from postgresql_cluster.change import Cluster, Request
from postgresql_cluster.host import Account, Layout
from postgresql_cluster.settings import assignments, value_of

PORT = 5433
# Settings that only a start changes.
ON_START = {"port", "listen_addresses", "hba_file", "shared_buffers", "max_connections"}
KNOWN = ON_START | {
    *("effective_cache_size", "log_line_prefix", "log_lock_waits", "log_temp_files"),
    *("maintenance_work_mem", "password_encryption", "work_mem"),
    *("data_directory", "ident_file", "cluster_name", "external_pid_file"),
    *("ssl", "ssl_cert_file", "ssl_key_file", "statement_timeout"),
}
RULES = "local all postgres peer\nhost all all all reject\n"
# A value that PostgreSQL finds too big when it starts, and not before.
TOO_MUCH = "999GB"


class Host:
    """A simulated host. Its programs can be told to misbehave."""

    def __init__(self, root: pathlib.Path, account: Account | None = None) -> None:
        self.root = root
        self.account: Account | None = account or Account("me", os.geteuid(), os.getegid())
        self.layout = Layout("16", "main", str(root))
        self.undo = str(root / "var/lib/prsnl-ports/undo")
        self._state_file = root / "simulation.json"
        self.calls: list[str] = []
        # What `pg_createcluster` does: nothing else, fail at its end, or be killed half-way.
        self.creation = ""
        # How the server behaves when it starts.
        self.start = ""
        self.masked = False
        # Stands for the server, and outlives copies of this process.
        self.pid = os.getpid()

    # --- what the tests do ---------------------------------------------------------------------

    def install(self) -> Host:
        """What the packages bring."""
        with cuts.outside():
            for folder in (
                self.layout.configurations,
                os.path.dirname(self.layout.log),
                self.layout.programs,
                self.layout.state,
                f"{self.root}/etc/systemd/system/multi-user.target.wants",
            ):
                os.makedirs(folder, exist_ok=True)
            self.give(self.layout.configurations)
            os.makedirs(f"{self.root}/var/lib/postgresql")
            self.give(f"{self.root}/var/lib/postgresql")
            self.write(f"{self.layout.programs}/postgres", "the program")
            self._save(active="inactive")
        return self

    def request(self, **changes: t.Any) -> Request:
        endpoint = {
            "id": "postgresql.sql",
            "port": changes.get("port", PORT),
            "protocol": "tcp",
            "listen": ["0.0.0.0"],
        }
        settings = {
            "port": endpoint["port"],
            "listen_addresses": "0.0.0.0",
            "password_encryption": "scram-sha-256",
            **changes.pop("settings", {}),
        }
        options: dict[str, t.Any] = {
            "port": PORT,
            "locale": "C.UTF-8",
            "settings": settings,
            "fixed": frozenset({"port", "listen_addresses", "password_encryption"}),
            "connections": 100,
            "rules": RULES,
            "memory_mb": 1024,
            "options": {"User": "postgres"},
            "endpoints": (endpoint,),
            "timeout": 0.1,
        }
        return Request(**{**options, **changes})

    def cluster(self, **changes: t.Any) -> Cluster:
        return Cluster(self.request(**changes), self.layout, self.account, self.run, self.undo)

    def apply(self, **changes: t.Any) -> Cluster:
        """Bring the cluster to its state, as the module does."""
        self.calls.clear()
        with self.changing() as change:
            cluster = self.cluster(**changes)
            cluster.apply(Changer(), change.token)
        return cluster

    def changing(self, *adopts: str) -> contextlib.AbstractContextManager[HostChange]:
        """The lock of this host, after what others have left was taken back."""
        return changing(
            Changer(),
            self.run,
            adopts=adopts or (self.layout.unit,),
            path=str(self.root.parent / f"{self.root.name}.lock"),
            folders=(self.undo,),
        )

    def preview(self, **changes: t.Any) -> list[str]:
        """What check mode tells; it must not change anything."""
        before = self.picture()
        self.calls.clear()
        cluster = self.cluster(**changes)
        cluster.preview()
        assert self.picture() == before
        assert [call for call in self.calls if not call.startswith("show")] == []
        return cluster.actions

    def picture(self) -> dict[str, tuple[t.Any, ...]]:
        """All files: content, permissions, and when they were changed."""
        found: dict[str, tuple[t.Any, ...]] = {}
        for path in self.root.rglob("*"):
            status = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (content, status.st_mode, status.st_mtime_ns)
        return found

    def write(self, path: str, text: str) -> None:
        with cuts.outside():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            pathlib.Path(path).write_text(text, encoding="utf-8")

    def give(self, folder: str) -> None:
        """Let all of a folder belong to the cluster's user."""
        if self.account and self.account.uid != os.geteuid():
            for path in (pathlib.Path(folder), *pathlib.Path(folder).rglob("*")):
                os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def text(self, path: str) -> str:
        return pathlib.Path(path).read_text(encoding="utf-8")

    def make_by_hand(self) -> None:
        """A cluster that somebody else made, stopped; its port is in its own file."""
        self._createcluster(self.layout.configurations, self.layout.data, 5432)

    def start_by_unit(self) -> None:
        assert self.run(["systemctl", "start", self.layout.unit])[0] == 0

    def settle(self) -> None:
        """All files are old news to the server, as after a copy of them they aren't."""
        time.sleep(0.006)
        if self.is_running:
            os.utime(f"{self.layout.data}/postmaster.pid")
            self._save(loaded=time.time())
        time.sleep(0.006)

    def crash(self) -> None:
        """The server ends without removing its file."""
        with cuts.outside():
            self._save(active="failed", running=None)
            pid = pathlib.Path(self.layout.data, "postmaster.pid")
            # A number that no process has.
            pid.write_text(f"{2**22 + 1}\n" + "\n".join(pid.read_text().splitlines()[1:]))

    # --- what the programs know ----------------------------------------------------------------

    @property
    def state(self) -> dict[str, t.Any]:
        state: dict[str, t.Any] = json.loads(self._state_file.read_text(encoding="utf-8"))
        return state

    def _save(self, **changes: t.Any) -> None:
        known = self.state if self._state_file.exists() else {}
        defaults: dict[str, t.Any] = {
            "active": "inactive",
            "running": None,
            "pending": [],
            "loaded": 0.0,
        }
        self._state_file.write_text(json.dumps({**defaults, **known, **changes}))

    def change_unit(self) -> None:
        """Change a file of the unit, and don't tell systemd."""
        self._save(unread=True)

    @property
    def is_running(self) -> bool:
        return self.state["running"] is not None

    @property
    def running(self) -> dict[str, str]:
        """The settings of the running server."""
        return dict(self.state["running"])

    # --- programs ------------------------------------------------------------------------------

    def run(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        words, environment = unwrap(command)
        program = os.path.basename(words[0])
        with cuts.outside():
            answer: tuple[int, str, str] = getattr(self, f"_run_{program}")(words, environment)
        return answer

    def _run_pg_updateaptconfig(self, words: list[str], _env: t.Any) -> tuple[int, str, str]:
        return 0, "", ""

    def _run_journalctl(self, words: list[str], _env: t.Any) -> tuple[int, str, str]:
        return 0, "FATAL:  it broke\n", ""

    def _run_pg_createcluster(
        self, words: list[str], environment: dict[str, str]
    ) -> tuple[int, str, str]:
        self.calls.append("pg_createcluster")
        data = words[words.index("--datadir") + 1]
        port = int(words[words.index("--port") + 1])
        if self.creation == "half":
            os.makedirs(f"{data}/base")
            self.write(f"{data}/PG_VERSION", "16\n")
            os.makedirs(f"{environment['PG_CLUSTER_CONF_ROOT']}/16/main")
            raise Killed
        if self.creation == "fail":
            os.makedirs(f"{data}/base")
            return 1, "", "Error: initdb failed\n"
        self._createcluster(environment["PG_CLUSTER_CONF_ROOT"], data, port)
        return 0, "", ""

    def _createcluster(self, configurations: str, data: str, port: int) -> None:
        folder = f"{configurations}/16/main"
        for name in ("base/1", "global", "pg_wal"):
            os.makedirs(f"{data}/{name}")
        self.write(f"{data}/PG_VERSION", "16\n")
        self.write(f"{data}/postgresql.auto.conf", "# Do not edit this file manually!\n")
        os.makedirs(f"{folder}/conf.d")
        main = [
            f"data_directory = '{data}'\t\t# use data in another directory",
            f"hba_file = '{folder}/pg_hba.conf'",
            f"port = {port}",
            "max_connections = 100",
            "shared_buffers = 128MB",
            "cluster_name = '16/main'",
            "include_dir = 'conf.d'",
        ]
        self.write(f"{folder}/postgresql.conf", "\n".join(main) + "\n")
        self.write(f"{folder}/pg_hba.conf", "local all postgres peer\n")
        self.write(f"{folder}/start.conf", "auto\n")
        self.give(data)
        self.give(configurations)

    def _run_postgres(self, words: list[str], _env: t.Any) -> tuple[int, str, str]:
        if words[2] == "data_directory":
            return 0, f"{self.layout.data}\n", ""
        file = words[words.index("-c") + 1].partition("=")[2]
        for name, value in assignments(self.text(file)).items():
            if name not in KNOWN:
                told = f'{file}: unrecognized configuration parameter "{name}"'
                return 1, "", f"LOG:  {told} {value}\n"
        return 0, f"{PORT}\n", ""

    # --- systemd -------------------------------------------------------------------------------

    def _run_systemctl(self, words: list[str], _env: t.Any) -> tuple[int, str, str]:
        verb = words[1]
        self.calls.append(verb)
        if verb == "show" and "--value" in words:
            return 0, f"{self.state['active']}\n", ""
        if verb == "show":
            load = "masked" if self.masked else "loaded"
            unit = f"LoadState={load}\nActiveState={self.state['active']}\nMemoryMax=infinity\n"
            unit += f"NeedDaemonReload={'yes' if self.state.get('unread') else 'no'}\n"
            return 0, unit + "\nLoadState=loaded\nActiveState=active\nMemoryMax=infinity\n" * 2, ""
        if verb == "daemon-reload":
            self._save(unread=False)
        if verb == "enable":
            pathlib.Path(self.layout.wanted).symlink_to("/lib/systemd/system/postgresql@.service")
        if verb in ("stop", "restart"):
            self._stop()
        if verb in ("start", "restart"):
            return self._start()
        if verb == "reload":
            self._reload()
        return 0, "", ""

    def _stop(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.layout.data}/postmaster.pid")
        self._save(active="inactive", running=None)

    def _start(self) -> tuple[int, str, str]:
        if self.is_running:
            self._save(active="failed")
            return 1, "", "Cluster is already running.\n"
        settings = {name: value for _file, _line, name, value in self.lines()}
        bad = self.errors() or settings.get("shared_buffers") == TOO_MUCH
        if bad or self.start == "fails":
            self._save(active="failed")
            return 1, "", "Job failed\n"
        self.spawn(settings)
        return 0, "", ""

    def spawn(self, settings: dict[str, str] | None = None, active: str = "active") -> None:
        """A server comes to life."""
        if settings is None:
            settings = {name: value for _file, _line, name, value in self.lines()}
        status = "starting" if self.start == "recovers" else "ready"
        pid = f"{self.layout.data}/postmaster.pid"
        lines = [self.pid, self.layout.data, int(time.time()), settings.get("port", 5432)]
        lines += [self.layout.sockets, "*", "1 1", f"{status:8}"]
        self.write(pid, "\n".join(map(str, lines)) + "\n")
        self.write(f"{self.layout.data}/postmaster.opts", "postgres\n")
        rules = self.text(settings["hba_file"])
        self._save(active=active, running=settings, pending=[], loaded=time.time(), rules=rules)
        # What is written from now on is newer, also by a coarse clock.
        time.sleep(0.006)

    def sockets(self) -> list[Socket]:
        """What the server listens on."""
        if not self.is_running or self.start == "deaf":
            return []
        port = int(self.running.get("port", "5432"))
        return [Socket("tcp", self.running.get("listen_addresses", ""), port, None, 0, 1)]

    # --- the server ----------------------------------------------------------------------------

    def lines(self) -> list[tuple[str, int, str, str]]:
        """All settings that the files have, in the order in which they are read."""
        return self._lines(self.layout.main_file) + self._lines(
            f"{self.layout.data}/postgresql.auto.conf"
        )

    def _lines(self, file: str) -> list[tuple[str, int, str, str]]:
        found = []
        for number, line in enumerate(self.text(file).splitlines(), 1):
            if line.startswith("include_dir"):
                # Without those whose names begin with a dot.
                for path in sorted(pathlib.Path(self.layout.configuration).glob("conf.d/[!.]*")):
                    found += self._lines(str(path))
            elif line.startswith("include_if_exists"):
                included = line.split("'")[1]
                found += self._lines(included) if os.path.exists(included) else []
            else:
                for name in assignments(line):
                    found.append((file, number, name, value_of(line, name) or ""))
        return found

    def errors(self) -> list[tuple[str, int, str | None, str]]:
        found: list[tuple[str, int, str | None, str]] = [
            (file, number, name, "unrecognized configuration parameter")
            for file, number, name, _value in self.lines()
            if name not in KNOWN
        ]
        # The rules of a file that only a start brings into effect aren't looked at before.
        file = (self.state["running"] or {}).get("hba_file")
        if file is None:
            file = {name: value for _file, _line, name, value in self.lines()}["hba_file"]
        rules = self.text(file).splitlines() if os.path.exists(file) else ["nothing"]
        for number, line in enumerate(rules, 1):
            if line and not line.startswith(("#", "local", "host")):
                found.append((file, number, None, f'invalid connection type "{line}"'))
        return found

    def _reload(self) -> None:
        if self.errors():
            return
        running, wanted = self.running, {name: value for _f, _l, name, value in self.lines()}
        pending = sorted(n for n in ON_START if wanted.get(n) != running.get(n))
        running.update({n: value for n, value in wanted.items() if n not in ON_START})
        rules = self.text(running["hba_file"])
        self._save(running=running, pending=pending, loaded=time.time(), rules=rules)

    def _run_psql(self, words: list[str], _env: t.Any) -> tuple[int, str, str]:
        question = words[words.index("-c") + 1]
        state = self.state
        if not self.is_running:
            return 2, "", "psql: error: connection refused\n"
        if "local all postgres reject" in state["rules"]:
            return 2, "", "psql: error: FATAL:  pg_hba.conf rejects connection\n"
        if "pg_reload_conf" in question:
            self.calls.append("pg_reload_conf")
            if self.start != "stubborn":
                self._reload()
            return 0, "t\n", ""
        if "json_build_object" not in question:
            return 0, f"{state['loaded']:.6f}\n", ""
        errors = {(file, line): error for file, line, _name, error in self.errors()}
        rule_errors = [
            {"file": file, "line": line, "name": None, "error": error}
            for file, line, name, error in self.errors()
            if name is None
        ]
        answer = {
            "port": int(self.running.get("port", "5432")),
            "checksums": True,
            "loaded": state["loaded"],
            "pending": state["pending"],
            "on_start": sorted(ON_START),
            "command_line": state.get("command_line", []),
            "assigned": [
                {"file": file, "line": line, "name": name, "error": errors.get((file, line))}
                for file, line, name, _value in self.lines()
            ],
            "rules": rule_errors,
            "databases": {"postgres": "postgres"},
            "monitors": ["prometheus"],
        }
        return 0, json.dumps(answer) + "\n", ""


def unwrap(command: t.Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The program and its arguments, and the environment, without what only starts it."""
    words, environment = list(command), {}
    while True:
        first = words[0]
        if first == "setpriv":
            words = words[words.index("--") + 1 :]
        elif first == "env":
            words = words[1:]
            while "=" in words[0]:
                name, _separator, value = words[0].partition("=")
                environment[name] = value
                words = words[1:]
        elif first == "timeout":
            words = words[3:]
        else:
            return words, environment


class Killed(BaseException):
    """The process ends here."""


def listen(monkeypatch: t.Any, host: Host) -> None:
    """Let the backend see the sockets of the simulated server."""
    monkeypatch.setattr(service, "read_sockets", host.sockets)
    # Nobody pulls the plug.
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr(service, "PAUSE", 0.001)
    monkeypatch.setattr(service, "RELOADED", 0.05)
