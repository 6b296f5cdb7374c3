# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DragonflyDB's flags, ports and metrics in front of Valkey.

Flags, checks and names of metrics are those of DragonflyDB 1.40 (src/server/dfly_main.cc and
metrics.cc).
"""

from __future__ import annotations

import datetime
import http.server
import os
import pathlib
import re
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from dataclasses import dataclass, field

from standin import daemon, strict

VERSION: t.Final = "1.40.4+standin1"
ENGINE: t.Final = pathlib.Path("/usr/lib/dragonfly/dragonfly")
THREAD_MEMORY: t.Final = 256 * 1024**2
CRON_FIELDS: t.Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))

TYPES: t.Final = {name: kind for kind, *names in strict.read_names("dragonfly") for name in names}
NAMES: t.Final = strict.Names(TYPES)

# What the stand-in acts on. All other flags are checked and have no effect.
TO_ENGINE: t.Final = {
    "aclfile": "aclfile",
    "dbnum": "databases",
    "dir": "dir",
    "hz": "hz",
    "masterauth": "masterauth",
    "masteruser": "masteruser",
    "maxclients": "maxclients",
    "notify_keyspace_events": "notify-keyspace-events",
    "requirepass": "requirepass",
    "slowlog_log_slower_than": "slowlog-log-slower-than",
    "slowlog_max_len": "slowlog-max-len",
    "tcp_backlog": "tcp-backlog",
    "tcp_keepalive": "tcp-keepalive",
    "timeout": "timeout",
    "tls_ca_cert_dir": "tls-ca-cert-dir",
    "tls_ca_cert_file": "tls-ca-cert-file",
    "tls_cert_file": "tls-cert-file",
    "tls_cipher_suites": "tls-ciphersuites",
    "tls_ciphers": "tls-ciphers",
    "tls_key_file": "tls-key-file",
    "tls_prefer_server_ciphers": "tls-prefer-server-ciphers",
    "tls_session_caching": "tls-session-caching",
    "unixsocketperm": "unixsocketperm",
}


@dataclass
class Flags:
    """The flags that are set, as text, and where each was set."""

    values: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        return self.values.get(name, default)

    def number(self, name: str, default: int = 0) -> int:
        return int(self.values.get(name, default))

    def true(self, name: str, default: bool = False) -> bool:
        return strict.boolean(self.values[name]) if name in self.values else default

    def set(self, place: str, text: str) -> None:
        """Take one ``--name=value`` or ``--[no]name`` as Abseil does.

        :raises strict.RefusedError: there is no such flag, or it has no such value.
        """
        name, equals, value = text.removeprefix("-").removeprefix("-").partition("=")
        if not equals and name not in TYPES and TYPES.get(name.removeprefix("no")) == "bool":
            name, value = name.removeprefix("no"), "false"
        elif not equals and TYPES.get(name) == "bool":
            value = "true"
        elif name not in TYPES:
            raise strict.RefusedError(
                f"{place}: Unknown command line flag '{name}'.{NAMES.nearest(name)}"
            )
        elif not equals:
            raise strict.RefusedError(
                f"{place}: Missing the value for the flag '{name}'; write --{name}=VALUE"
            )
        try:
            check_value(TYPES[name], name, value)
        except ValueError as problem:
            raise strict.RefusedError(
                f"{place}: Illegal value '{value}' specified for flag '{name}'; {problem}"
            ) from None
        self.values[name], self.places[name] = value, place


def check_value(kind: str, name: str, value: str) -> None:
    """Refuse a value that the flag's type doesn't have.

    :raises ValueError: what is wrong with it.
    """
    if name == "snapshot_cron" and value:
        if value.startswith('"'):
            raise ValueError("Could it be that you put quotes in the flagfile?")
        parse_cron(value)
    elif kind == "bool":
        strict.boolean(value)
    elif kind == "memory":
        strict.size(value)
    elif kind == "number":
        float(value)
    elif kind in {"integer", "unsigned"} and not re.fullmatch(
        r"\d+" if kind == "unsigned" else r"-?\d+", value
    ):
        raise ValueError(f"it has to be {'a whole' if kind == 'integer' else 'an unsigned'} number")


def parse_cron(text: str) -> list[set[int]]:
    """The minutes, hours, days, months and weekdays (0 is Sunday) of a crontab expression.

    :raises ValueError: it isn't one.
    """
    fields = text.split()
    if len(fields) != len(CRON_FIELDS):
        raise ValueError("a cron expression has 5 fields: minute hour day month weekday")
    result = []
    for part, (low, high) in zip(fields, CRON_FIELDS, strict=True):
        chosen: set[int] = set()
        for item in part.split(","):
            found = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", item)
            if not found:
                raise ValueError(f"'{item}' is no field of a cron expression")
            first = int(found[1] or low)
            last = int(found[2] or (high if found[3] or not found[1] else first))
            if not low <= first <= last <= high or found[3] == "0":
                raise ValueError(f"'{item}' is outside {low}-{high}")
            chosen.update(range(first, last + 1, int(found[3] or 1)))
        result.append(chosen)
    result[4] = {day % 7 for day in result[4]}
    return result


def read_flags(arguments: t.Iterable[str], environment: t.Mapping[str, str]) -> Flags:
    """Flags from the command line and its flagfiles, then from ``DFLY_<flag>`` variables.

    :raises strict.RefusedError: one of them is not DragonflyDB's.
    """
    flags = Flags()
    for argument in arguments:
        if not argument.startswith("-"):
            raise strict.RefusedError(f"command line: unexpected argument '{argument}'")
        flags.set("command line", argument)
        if argument.lstrip("-").startswith("flagfile="):
            for path in argument.partition("=")[2].split(","):
                read_flagfile(flags, path)
    for variable, value in environment.items():
        name = variable.removeprefix("DFLY_")
        if name != variable and name not in {"DEV_ENV", "PASSWORD"} and name not in flags.values:
            if name not in TYPES:
                raise strict.RefusedError(
                    f"unknown environment variable {variable}.{NAMES.nearest(name)}"
                )
            flags.set(f"environment variable {variable}", f"--{name}={value}")
    if "DFLY_PASSWORD" in environment:
        flags.values.setdefault("requirepass", environment["DFLY_PASSWORD"])
    return flags


def read_flagfile(flags: Flags, path: str) -> None:
    """Take the flags of a file: one a line, ``#`` starts a comment line.

    :raises strict.RefusedError: a line is no flag.
    """
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise strict.RefusedError(f"Can't open flagfile {path}: {problem.strerror}") from None
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if not line.startswith("-"):
            raise strict.RefusedError(
                f"{path}:{number}: Unexpected line in the flagfile: '{line}'; a flag starts with --"
            )
        flags.set(f"{path}:{number}", line)


def threads(flags: Flags) -> int:
    """How many threads DragonflyDB would start."""
    return flags.number("proactor_threads") or len(os.sched_getaffinity(0))


def validate(flags: Flags) -> None:
    """The checks that DragonflyDB makes before it starts.

    :raises strict.RefusedError: it would exit.
    """
    if "port" not in flags.values:
        raise strict.RefusedError("--port is not set, and this stand-in has no default for it")
    number = flags.number("port")
    if not 0 <= number < 2**16 or flags.number("admin_port") >= 2**16:
        raise strict.RefusedError(f"{flags.places['port']}: Bad port number {number}")
    if number == 0 and not flags.text("unixsocket"):
        raise strict.RefusedError("received --port 0, yet no unix socket to listen to. Exiting.")
    for name in ("bind", "admin_bind"):
        if "," in flags.text(name) or " " in flags.text(name).strip():
            raise strict.RefusedError(
                f"{flags.places[name]}: --{name}={flags.text(name)} is not one address"
            )
    memory = strict.size(flags.text("maxmemory", "0"))
    if 0 < memory < threads(flags) * THREAD_MEMORY:
        raise strict.RefusedError(
            f"There are {threads(flags)} threads, so "
            f"{threads(flags) * THREAD_MEMORY / 1024**3:.2f}GiB are required. Exiting..."
        )
    if flags.true("tls"):
        if not any(map(flags.text, ("requirepass", "tls_ca_cert_file", "tls_ca_cert_dir"))):
            raise strict.RefusedError("TLS configured but no authentication method is used!")
        for name in ("tls_key_file", "tls_cert_file"):
            if not flags.text(name):
                raise strict.RefusedError(
                    f"To use TLS, a server certificate must be provided with the --{name} flag!"
                )
    if "/" in flags.text("dbfilename"):
        raise strict.RefusedError(
            f"{flags.places['dbfilename']}: dbfilename '{flags.text('dbfilename')}' has a /"
        )


def address(bind: str, number: int) -> tuple[socket.AddressFamily, str]:
    """Where DragonflyDB listens: the first address that the resolver has for ``bind``."""
    found = socket.getaddrinfo(
        bind or None, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return found[0], str(found[4][0])


def quote(value: str) -> str:
    """A word of Valkey's configuration file."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def engine_config(flags: Flags, unixsocket: str) -> str:
    """Valkey's configuration for these flags."""
    bind = flags.text("bind")
    if not bind and not flags.text("requirepass") and "INVOCATION_ID" in os.environ:
        daemon.say(
            "Protected mode enabled. Binding to localhost only because no password is set. To "
            "accept remote connections, set a password with --requirepass or specify a bind "
            "address with --bind."
        )
        bind = str(socket.inet_ntoa(socket.INADDR_LOOPBACK.to_bytes(4, "big")))
    listen = address(bind, flags.number("port"))[1]
    zone = flags.text("availability_zone", "lab")
    tls = flags.true("tls")
    lines = {
        # A second socket, as Valkey's own one for :: has no IPv4.
        "bind": ":: 0.0.0.0" if listen == "::" else listen,
        "port": "0" if tls else flags.text("port"),
        "tls-port": flags.text("port") if tls else "0",
        "tls-auth-clients": "yes" if tls and flags.text("tls_ca_cert_file") else "no",
        "protected-mode": "no",
        "unixsocket": quote(unixsocket),
        # These threads spin: they must leave a processor to the engine's main thread.
        "io-threads": str(max(1, min(threads(flags), len(os.sched_getaffinity(0)) - 1))),
        "maxmemory": str(strict.size(flags.text("maxmemory", "0"))),
        "maxmemory-policy": "allkeys-lru" if flags.true("cache_mode") else "noeviction",
        "save": '""',
        "dbfilename": snapshot_name(flags) or "dump.rdb",
        # The only text of its own that Valkey shows in INFO; clients see a line more.
        "availability-zone": f'"{zone}\\r\\ndragonfly_version:df-v{VERSION}"',
    }
    if flags.text("replicaof"):
        host, _, master = flags.text("replicaof").rpartition(":")
        lines["replicaof"] = f"{host.strip('[]')} {master}"
    for flag, option in TO_ENGINE.items():
        if flags.text(flag):
            kind = TYPES[flag]
            value = flags.text(flag)
            lines[option] = quote(
                ("yes" if strict.boolean(value) else "no") if kind == "bool" else value
            )
    return "".join(f"{option} {value}\n" for option, value in lines.items())


def snapshot_name(flags: Flags) -> str:
    """The snapshot's file, without DragonflyDB's time stamp; empty if there is none."""
    name = re.sub(r"-?\{\w+\}", "", flags.text("dbfilename", "dump-{timestamp}"))
    return f"{name}.rdb" if name else ""


class Engine:
    """Valkey's private socket."""

    def __init__(self, path: str, password: str) -> None:
        self.path = path
        self.password = password

    def connect(self, login: bool = True) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        connection.connect(self.path)
        if login and self.password:
            self._ask(connection, ["AUTH", self.password])
        return connection

    @staticmethod
    def _ask(connection: socket.socket, words: list[str]) -> str:
        request = b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in (w.encode() for w in words))
        connection.sendall(b"*%d\r\n" % len(words) + request)
        with connection.makefile("rb") as answers:
            line = answers.readline().decode().rstrip()
            if line.startswith("-"):
                raise OSError(f"engine: {line[1:]}")
            if line.startswith("$"):
                return answers.read(int(line[1:]) + 2).decode()
            return line[1:]

    def ask(self, *words: str) -> str:
        """The engine's answer to a command.

        :raises OSError: it refuses, or can't be reached.
        """
        with self.connect() as connection:
            return self._ask(connection, list(words))

    def info(self) -> dict[str, str]:
        """All of INFO."""
        lines = self.ask("INFO", "everything").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)


def metrics(info: t.Mapping[str, str]) -> str:
    """DragonflyDB's metrics, in Prometheus' text format, from Valkey's INFO."""
    plain = {
        "master": ("gauge", int(info["role"] == "master")),
        "uptime_in_seconds": ("counter", info["uptime_in_seconds"]),
        "max_clients": ("gauge", info["maxclients"]),
        "blocked_clients": ("gauge", info["blocked_clients"]),
        "memory_used_bytes": ("gauge", info["used_memory"]),
        "memory_used_peak_bytes": ("gauge", info["used_memory_peak"]),
        "memory_max_bytes": ("gauge", info["maxmemory"]),
        "used_memory_rss_bytes": ("gauge", info["used_memory_rss"]),
        "connections_received_total": ("counter", info["total_connections_received"]),
        "keyspace_hits_total": ("counter", info["keyspace_hits"]),
        "keyspace_misses_total": ("counter", info["keyspace_misses"]),
        "net_input_bytes_total": ("counter", info["total_net_input_bytes"]),
        "net_output_bytes_total": ("counter", info["total_net_output_bytes"]),
    }
    labelled: dict[str, tuple[str, dict[str, object]]] = {
        "version": ("gauge", {f'version="df-v{VERSION}"': 1}),
        "connected_clients": ("gauge", {'listener="main"': info["connected_clients"]}),
        "commands_processed_total": (
            "counter",
            {'listener="main"': info["total_commands_processed"]},
        ),
        "expired_keys_total": ("counter", {'db="db0"': info["expired_keys"]}),
        "evicted_keys_total": ("counter", {'db="db0"': info["evicted_keys"]}),
    }
    commands, keys = {}, {}
    for name, value in info.items():
        numbers = dict(part.split("=", 1) for part in value.split(",") if "=" in part)
        if name.startswith("cmdstat_"):
            commands[f'cmd="{name.removeprefix("cmdstat_")}"'] = numbers
        elif re.fullmatch(r"db\d+", name):
            keys[f'db="{name}"'] = numbers
    labelled["commands_total"] = ("counter", {cmd: n["calls"] for cmd, n in commands.items()})
    labelled["commands_duration_seconds"] = (
        "counter",
        {cmd: int(n["usec"]) / 1e6 for cmd, n in commands.items()},
    )
    labelled["db_keys"] = ("gauge", {db: n["keys"] for db, n in keys.items()} or {'db="db0"': 0})
    labelled["db_keys_expiring"] = (
        "gauge",
        {db: n["expires"] for db, n in keys.items()} or {'db="db0"': 0},
    )
    lines = []
    for name, (kind, number) in plain.items():
        lines += [f"# TYPE dragonfly_{name} {kind}", f"dragonfly_{name} {number}"]
    for name, (kind, samples) in labelled.items():
        lines.append(f"# TYPE dragonfly_{name} {kind}")
        lines += [f"dragonfly_{name}{{{labels}}} {number}" for labels, number in samples.items()]
    return "\n".join(lines) + "\n"


class Admin(socketserver.ThreadingTCPServer):
    """The admin port: HTTP for Prometheus, and the Redis protocol for everything else."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, flags: Flags, engine: Engine) -> None:
        self.engine = engine
        self.nopass = flags.true("admin_nopass")
        self.context: ssl.SSLContext | None = None
        if flags.true("tls") and not flags.true("no_tls_on_admin_port"):
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(flags.text("tls_cert_file"), flags.text("tls_key_file"))
        number = flags.number("admin_port")
        self.address_family, host = address(flags.text("admin_bind"), number)
        super().__init__((host, number), AdminConnection)

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that went away is nothing to report."""


class AdminConnection(socketserver.BaseRequestHandler):
    server: Admin

    def handle(self) -> None:
        client: socket.socket = self.request
        client.settimeout(30)
        if self.server.context:
            client = self.server.context.wrap_socket(client, server_side=True)
        start = client.recv(65536)
        if start.startswith((b"GET ", b"HEAD ")):
            self._http(client, start)
        elif start:
            client.settimeout(None)
            self._relay(client, start)

    def _http(self, client: socket.socket, start: bytes) -> None:
        found = start.split()[1].partition(b"?")[0] == b"/metrics"
        text = metrics(self.server.engine.info()) if found else "This stand-in has /metrics only.\n"
        status = http.HTTPStatus.OK if found else http.HTTPStatus.NOT_FOUND
        body = text.encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nServer: dragonfly stand-in {VERSION}\r\n"
            f"Content-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        client.sendall(head.encode() + (b"" if start.startswith(b"HEAD") else body))

    def _relay(self, client: socket.socket, start: bytes) -> None:
        with self.server.engine.connect(login=self.server.nopass) as engine:
            engine.settimeout(None)
            engine.sendall(start)
            threading.Thread(target=_copy, args=(engine, client), daemon=True).start()
            _copy(client, engine)


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def take_snapshots(engine: Engine, schedule: list[set[int]]) -> t.NoReturn:
    """Save whenever the clock matches the schedule."""
    while True:
        time.sleep(60 - time.time() % 60)
        now = datetime.datetime.now()
        weekday = now.isoweekday() % 7
        moment = (now.minute, now.hour, now.day, now.month, weekday)
        if all(part in chosen for part, chosen in zip(moment, schedule, strict=True)):
            engine.ask("BGSAVE")


def serve(flags: Flags) -> int:
    """Run the engine and the admin port until the engine ends; its exit code."""
    if flags.text("pidfile"):
        pathlib.Path(flags.text("pidfile")).write_text(f"{os.getpid()}\n", encoding="ascii")
    idle = sorted(
        set(flags.values)
        - set(TO_ENGINE)
        - {
            "flagfile",
            "port",
            "bind",
            "maxmemory",
            "proactor_threads",
            "cache_mode",
            "tls",
            "pidfile",
        }
        - {"dbfilename", "snapshot_cron", "unixsocket", "replicaof", "availability_zone"}
        - {"admin_port", "admin_bind", "admin_nopass", "no_tls_on_admin_port"}
    )
    if idle:
        daemon.say(
            f"The stand-in accepts these flags and does nothing with them: {', '.join(idle)}"
        )
    with tempfile.TemporaryDirectory(prefix="dragonfly-") as private:
        path = flags.text("unixsocket") or f"{private}/engine.sock"
        engine = Engine(path, flags.text("requirepass"))
        process = subprocess.Popen(
            [ENGINE, "-"],
            stdin=subprocess.PIPE,
            env={**os.environ, "LD_LIBRARY_PATH": str(ENGINE.parent)},
        )

        def stop(*_: object) -> None:
            try:
                engine.ask("SHUTDOWN", "SAVE" if snapshot_name(flags) else "NOSAVE")
            except (OSError, ValueError):
                process.terminate()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        assert process.stdin  # noqa: S101 - for the type checker
        process.stdin.write(engine_config(flags, path).encode())
        process.stdin.close()
        while process.poll() is None:
            try:
                engine.ask("PING")
                break
            except OSError:
                time.sleep(0.05)
        if process.poll() is None:
            start_beside(flags, engine)
        return process.wait()


def start_beside(flags: Flags, engine: Engine) -> None:
    """Start what runs beside the engine: the admin port and the snapshots."""
    if flags.number("admin_port"):
        try:
            admin = Admin(flags, engine)
        except OSError as problem:
            # As the vendor's program does, which goes on without it.
            daemon.say(f"Failed to open admin socket: {problem.strerror}")
        else:
            threading.Thread(target=admin.serve_forever, daemon=True).start()
    if flags.text("snapshot_cron"):
        schedule = parse_cron(flags.text("snapshot_cron"))
        threading.Thread(target=take_snapshots, args=(engine, schedule), daemon=True).start()


def main(arguments: list[str]) -> None:
    """What /usr/bin/dragonfly does."""
    if "--version" in arguments:
        print(f"dragonfly v{VERSION} (the lab's stand-in for DragonflyDB: Valkey behind its flags)")
        return
    daemon.rename("dragonfly")
    daemon.say(
        f"Starting dragonfly df-v{VERSION}, "
        "the lab's stand-in for DragonflyDB: Valkey behind its flags"
    )
    flags = read_flags(arguments, os.environ)
    validate(flags)
    sys.exit(serve(flags))
