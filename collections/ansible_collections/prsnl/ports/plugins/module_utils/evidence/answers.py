# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What services answer when they are asked: their version, their health, their certificate."""

from __future__ import annotations

import re
import shlex
import ssl
import subprocess
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.evidence.readings import (
    Reading,
    Request,
    get,
    run,
)
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.system import utc
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import endpoint_text
from ansible_collections.prsnl.ports.plugins.module_utils.verdicts import probes

END = "notAfter="
LONGEST_VERSION = 80


@dataclass(frozen=True)
class Question:
    """What a service is asked: a command, or a GET of one of its endpoints.

    ``match`` is a regular expression that a good answer has; its first group, if it has one, is
    what is wanted of it. ``status`` has the good codes, where they aren't the usual ones.
    """

    id: str
    service: str
    argv: tuple[str, ...] = ()
    request: t.Optional[Request] = None
    match: str = ""
    status: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, entry: t.Mapping[str, t.Any]) -> Question:
        """Return a question of the module's arguments.

        :raises ValueError: it isn't one.
        """
        try:
            http = entry.get("http")
            question = cls(
                entry["id"],
                entry["service"],
                tuple(map(str, entry.get("argv") or ())),
                Request(**http) if http else None,
                entry.get("match") or "",
                tuple(entry.get("status") or ()),
            )
            re.compile(question.match)
        except (KeyError, TypeError, re.error) as error:
            raise ValueError(f"questions: {entry!r} isn't one: {error}") from error
        if bool(question.argv) == bool(question.request):
            raise ValueError(f"questions: {entry!r} needs either argv or http")
        return question

    def ask(self, timeout: float) -> Reading:
        """Ask it."""
        if self.request:
            return get(self.request, timeout, self.match)
        return run(self.argv, timeout)

    def judge(self, reading: Reading) -> dict[str, t.Any]:
        """Return whether the answer is a good one, and what is wanted of it."""
        is_good = reading.has_code(self.status) if self.status else reading.ok
        match = re.search(self.match, reading.output, re.MULTILINE) if is_good else None
        text = ""
        if match:
            text = match[1] if match.re.groups else match[0]
        return {
            "ok": match is not None,
            "text": " ".join((text or "").split())[:LONGEST_VERSION],
            "reading": self.id,
        }


# --- packages ----------------------------------------------------------------------------------


def read_packages(names: t.Collection[str], timeout: float) -> tuple[dict[str, str], Reading]:
    """Return the installed versions of packages that dpkg knows, and the reading."""
    shown = run(
        ["dpkg-query", "-W", "-f=${Package} ${Version} ${db:Status-Abbrev}\\n", *sorted(names)],
        timeout,
    )
    found = {}
    for line in shown.output.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[2].startswith("ii"):  # noqa: PLR2004
            found[fields[0]] = fields[1]
    return found, shown


# --- certificates ------------------------------------------------------------------------------


def read_certificate(
    address: str, port: int, timeout: float, probe: str = "tls"
) -> tuple[dict[str, t.Any], Reading]:
    """Return the end of the certificate that a TLS server shows, and the reading.

    C(not_after) is empty where it isn't known.
    """
    where = endpoint_text(address, port)
    start = "-starttls postgres " if probe == "postgres" else ""
    source = (
        f"openssl s_client {start}-connect {shlex.quote(where)} </dev/null |"
        " openssl x509 -noout -subject -issuer -enddate"
    )
    try:
        der = probes.read_certificate(probe, address, port, timeout)
        done = subprocess.run(
            ["openssl", "x509", "-noout", "-subject", "-issuer", "-enddate"],
            input=ssl.DER_cert_to_PEM_cert(der),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return {"not_after": ""}, Reading("tls", source, fault=str(error))
    reading = Reading("tls", source, done.stdout + done.stderr, done.returncode)
    end = next((line for line in done.stdout.splitlines() if line.startswith(END)), "")
    try:
        seconds = ssl.cert_time_to_seconds(end[len(END) :])
    except ValueError:
        return {"not_after": ""}, reading
    return {"not_after": utc(seconds)}, reading


# --- time --------------------------------------------------------------------------------------


def now() -> str:
    """Return this host's time, in UTC."""
    return utc(time.time())
