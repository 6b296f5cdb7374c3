"""Runs Python programs in copies of a process that has already started.

Starting Python takes an emulated host longer than most of what Ansible's modules do there: every
process translates the interpreter's machine code anew, and imports the same modules. A copy has
that behind it. Only the time changes: each program has the streams, folder, environment, umask,
groups and session that it would have had, and its exit status goes to `python3` beside this file,
which asked for it. Where nothing answers, that starts Python as ever.
"""

import atexit
import builtins
import contextlib
import dataclasses
import gc
import importlib
import inspect
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import types
import typing
import zipfile
from collections.abc import Sequence

ADDRESS = "/run/lab-python.sock"
# What Ansible's modules import of Python's own library, with all that these import in turn.
IMPORTED = [
    "argparse",
    "array",
    "ast",
    "copy",
    "csv",
    "ctypes",
    "datetime",
    "decimal",
    "encodings.cp437",
    "encodings.idna",
    "fcntl",
    "getpass",
    "glob",
    "grp",
    "http.cookiejar",
    "ipaddress",
    "locale",
    "logging",
    "netrc",
    "pathlib",
    "platform",
    "pwd",
    "queue",
    "runpy",
    "secrets",
    "shlex",
    "syslog",
    "tarfile",
    "traceback",
    "urllib.request",
    "uuid",
    "xml.etree.ElementTree",
]


def serve() -> list[str]:
    """Answer requests. Returns in a copy, with the arguments of the program that it has to run."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(ADDRESS)
    server = socket.socket(socket.AF_UNIX)
    server.bind(ADDRESS)
    # A copy has the server's rights. Other users' modules start Python as ever.
    os.chmod(ADDRESS, 0o600)
    server.listen(64)
    ended, wakeup = socket.socketpair()
    ended.setblocking(False)
    wakeup.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup.fileno())
    clients: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([server, ended], [], [])
        if server in ready:
            client, _ = server.accept()
            try:
                streams, words = receive(client)
            except (OSError, EOFError):  # it went away
                client.close()
                continue
            process = os.fork()
            if process == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for inherited in (server, ended, wakeup, client, *clients.values()):
                    inherited.close()
                return take_over(streams, *words)
            for stream in streams:
                os.close(stream)
            clients[process] = client
        if ended in ready:
            ended.recv(4096)
            tell_ended(clients)


def receive(client: socket.socket) -> tuple[list[int], list[bytes]]:
    """The standard streams of a client, and the words that it sent."""
    data, streams, _, _ = socket.recv_fds(client, 1 << 16, 3)
    while len(data) < 4 or len(data) < 4 + struct.unpack_from("!I", data)[0]:
        more = client.recv(1 << 16)
        if not more:
            raise EOFError
        data += more
    return streams, data[4:].split(b"\0")


def tell_ended(clients: dict[int, socket.socket]) -> None:
    """Send clients, by the copies that run for them, the exit status of those that ended."""
    while clients:
        process, status = os.waitpid(-1, os.WNOHANG)
        if process == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        with clients.pop(process) as client, contextlib.suppress(OSError):
            client.sendall(b"%d" % (code if code >= 0 else 128 - code))


def take_over(
    streams: Sequence[int], umask: bytes, groups: bytes, folder: bytes, count: bytes, *words: bytes
) -> list[str]:
    """Become what the client is; returns the program's arguments."""
    os.setsid()
    # systemd waits for ever for the groups of who talks to it if qemu can't tell them: two or more.
    os.setgroups([int(group) for group in groups.split()[1:]])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.umask(int(umask))
    os.chdir(folder)
    ctype = os.environb.get(b"LC_CTYPE")
    os.environb.clear()
    for word in words[int(count) :]:
        name, _, value = word.partition(b"=")
        os.environb[name] = value
    # At its start, Python gave itself a locale with UTF-8, as it does where there is none.
    if ctype and not {b"LANG", b"LC_ALL", b"LC_CTYPE"} & os.environb.keys():
        os.environb[b"LC_CTYPE"] = ctype
    return [os.fsdecode(word) for word in words[: int(count)]]


def prepare(arguments: list[str]) -> tuple[types.CodeType, dict[str, object]]:
    """The code of a program from a file or standard input, and the variables of its module."""
    importlib.invalidate_caches()
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    vars(module)["__builtins__"] = builtins
    if arguments:
        module.__file__ = arguments[0]
        sys.path[0] = os.path.dirname(os.path.realpath(arguments[0]))
        with open(arguments[0], "rb") as file:
            source = file.read()
    else:
        sys.path[0] = ""
        source = sys.stdin.buffer.read()
    sys.argv[:] = arguments or [""]
    return compile(source, arguments[0] if arguments else "<stdin>", "exec"), vars(module)


def rehearse() -> None:
    """Do what programs from Ansible do first, for the translations that copies then have."""
    names = ("dataclasses", "enum", "argparse", "decimal", "ipaddress", "pathlib", "typing")
    with tempfile.TemporaryDirectory() as folder:
        archive = f"{folder}/archive.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for name in names:
                source = inspect.getsource(importlib.import_module(name))
                file.writestr(f"rehearsed_{name}.py", source)
        sys.path.insert(0, archive)
        for name in names:
            importlib.import_module(f"rehearsed_{name}")
            del sys.modules[f"rehearsed_{name}"]
        sys.path.remove(archive)
    made = dataclasses.make_dataclass("Made", [("a", int), ("b", "str", "")], frozen=True)
    typing.get_type_hints(made)
    json.loads(json.dumps({"a": ["b", 1, None, True, {"c": "d"}]}))
    subprocess.run(["/bin/true"], check=True)


def run(code: types.CodeType, variables: dict[str, object]) -> typing.NoReturn:
    """Run a program, and end as Python does, except that nothing is tidied away in memory."""
    status = 0
    try:
        exec(code, variables)  # noqa: S102
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    # What Python does at its end, which has no public name.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


for name in IMPORTED:
    importlib.import_module(name)
rehearse()
gc.freeze()
run(*prepare(serve()))
