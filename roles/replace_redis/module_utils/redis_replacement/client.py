# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of the protocol of Redis, of which only Python's standard library is needed.

Source: https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2)
"""

from __future__ import annotations

import socket
import ssl
import typing as t

Word = t.Union[bytes, str, int]
# How many commands are on their way before answers are read: all of them would fill both buffers.
BATCH = 500


class ServerError(Exception):
    """What a server answers instead of a result, or that it doesn't."""


class Client:
    """A connection to a server.

    :param timeout: seconds for each answer.
    :raises ServerError: it isn't there, or doesn't accept the password.
    """

    def __init__(
        self, address: str, port: int, password: str = "", *, tls: bool = False, timeout: float = 60
    ) -> None:
        self.place = f"{address}:{port}"
        self.database = 0
        try:
            self._socket = socket.create_connection((address, port), timeout)
            if tls:
                # It is on this host, at an address that no certificate needs to name.
                context = ssl.create_default_context()
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                self._socket = context.wrap_socket(self._socket)
        except OSError as error:
            raise ServerError(f"{self.place} can't be reached: {error}") from error
        self._answers = self._socket.makefile("rb", buffering=1 << 16)
        if password:
            self("AUTH", password)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self._answers.close()
        self._socket.close()

    def __call__(self, *words: Word) -> t.Any:
        """Return the answer to a command.

        :raises ServerError: it is refused, or there is none.
        """
        return self.all([words])[0]

    def all(self, commands: t.Iterable[t.Sequence[Word]]) -> list[t.Any]:
        """Return the answers to many commands, in a pipeline.

        :raises ServerError: one of them is refused.
        """
        answers: list[t.Any] = []
        batch: list[t.Sequence[Word]] = []
        for command in commands:
            batch.append(command)
            if len(batch) == BATCH:
                answers += self._batch(batch)
                batch = []
        return answers + self._batch(batch)

    def select(self, database: int) -> None:
        """Work on a database from now on."""
        if database != self.database:
            self("SELECT", database)
            self.database = database

    def info(self, *sections: str) -> dict[str, str]:
        """Return what INFO tells."""
        lines = self("INFO", *sections).decode(errors="replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _batch(self, commands: t.Sequence[t.Sequence[Word]]) -> list[t.Any]:
        if not commands:
            return []
        try:
            self._socket.sendall(b"".join(map(_encode, commands)))
            found = [self._answer() for _command in commands]
        except (OSError, ValueError) as error:
            raise ServerError(f"{self.place} stopped answering: {error}") from error
        for command, answer in zip(commands, found):
            if isinstance(answer, ServerError):
                raise ServerError(f"{self.place} refuses {command[0]!s}: {answer}")
        return found

    def _answer(self) -> t.Any:
        line = self._answers.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("it hung up")
        kind, text = line[:1], line[1:-2]
        if kind == b"+":
            return text
        if kind == b"-":
            return ServerError(text.decode(errors="replace"))
        if kind == b":":
            return int(text)
        if kind == b"$":
            size = int(text)
            if size < 0:
                return None
            data = self._answers.read(size + 2)
            if len(data) < size + 2:
                raise OSError("it hung up")
            return data[:-2]
        if kind == b"*":
            return None if int(text) < 0 else [self._answer() for _entry in range(int(text))]
        raise ValueError(f"it answers {line[:40]!r}")


def _encode(words: t.Sequence[Word]) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
