# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The unit of a cluster, and the server that it runs."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.snapshot import read_sockets

from .host import Account, ClusterError, Layout
from .server import LOADED, RELOAD, Postmaster, Server, ask, ask_server, find_postmaster

JOURNAL_LINES = 20
PAUSE = 0.25
# Seconds until a server that was told to has read its files.
RELOADED = 10.0


class Service:
    """A unit and its server.

    :param data: where the cluster's data is.
    :param endpoints: what it has to listen on, as the plan has them.
    :param timeout: seconds until it has to.
    """

    def __init__(
        self,
        layout: Layout,
        account: Account,
        run: Runner,
        data: str,
        *,
        endpoints: t.Iterable[t.Mapping[str, t.Any]],
        timeout: float,
    ) -> None:
        self._layout = layout
        self._account = account
        self._run = run
        self._data = data
        self._wanted = {
            (address, endpoint["port"]) for endpoint in endpoints for address in endpoint["listen"]
        }
        self._timeout = timeout

    def find(self) -> t.Optional[Postmaster]:
        """Return the server; None if it doesn't run.

        :raises ClusterError: the data can't be read.
        """
        return find_postmaster(self._data, self._account)

    def ask(self) -> Server:
        """Return what the server says.

        :raises ClusterError: it doesn't run, or doesn't answer.
        """
        postmaster = self.find()
        if postmaster is None:
            raise ClusterError(self._with_journal("does not run"))
        server, error = ask_server(postmaster, self._layout.programs, self._account, self._run)
        if server is None:
            raise ClusterError(f"PostgreSQL runs, but can't be asked: {error}")
        return server

    def reload(self, postmaster: Postmaster) -> None:
        """Let the server read its files again, and wait until it has.

        :raises ClusterError: it doesn't, or can't be asked afterwards either.
        """
        # Without an answer, it may be the files that keep us from asking.
        before, error = self._ask(LOADED, postmaster)
        if error or self._ask(RELOAD, postmaster)[1]:
            self._systemctl("reload")
        end = time.monotonic() + RELOADED
        while True:
            after, error = self._ask(LOADED, postmaster)
            if after and after != before:
                return
            if time.monotonic() > end:
                told = f"can't be asked: {error}" if error else "does not read its files again"
                raise ClusterError(self._with_journal(told))
            time.sleep(PAUSE)

    def start(self, verb: str) -> None:
        """Start or restart the unit, and wait until the server listens where its files say.

        :param verb: ``start`` or ``restart``.
        :raises ClusterError: it doesn't.
        """
        self._systemctl("daemon-reload")
        # A unit that gave up after many failures refuses to start for a while.
        self._run(["systemctl", "reset-failed", self._layout.unit])
        self._systemctl(verb)
        self.wait_until_ready(self._wanted)

    def enable(self) -> None:
        """Let the unit start at boot.

        :raises ClusterError: it can't be.
        """
        self._systemctl("enable")

    def wait_until_ready(self, wanted: t.AbstractSet[tuple[str, int]] = frozenset()) -> None:
        """Wait until the server takes connections; while it recovers from a crash, for ever.

        :param wanted: addresses and ports that it has to listen on then.
        :raises ClusterError: it ends, or isn't ready in time.
        """
        end = time.monotonic() + self._timeout
        while True:
            postmaster = self.find()
            if postmaster is None and self._is_dead():
                raise ClusterError(self._with_journal("does not run"))
            missing = wanted - {
                (sock.address, sock.port) for sock in read_sockets() if sock.protocol == "tcp"
            }
            if postmaster and postmaster.is_ready and not missing:
                return
            if postmaster and postmaster.is_starting:
                end = time.monotonic() + self._timeout
            if time.monotonic() > end:
                places = [f"{address} port {port}" for address, port in sorted(missing)]
                told = f"does not listen on {listed(places)}" if places else "is not ready"
                raise ClusterError(self._with_journal(f"{told} after {self._timeout:g} s"))
            time.sleep(PAUSE)

    def _is_dead(self) -> bool:
        state = self._run(
            ["systemctl", "show", "--property=ActiveState", "--value", self._layout.unit]
        )[1].strip()
        return state in ("failed", "inactive")

    def _ask(self, question: str, postmaster: Postmaster) -> tuple[str, str]:
        return ask(question, postmaster, self._layout.programs, self._account, self._run)

    def _systemctl(self, verb: str) -> None:
        words = [] if verb == "daemon-reload" else [self._layout.unit]
        code, _out, err = self._run(["systemctl", verb, *words])
        if code != 0:
            raise ClusterError(self._with_journal(f"systemctl {verb}: {err.strip()}"))

    def _with_journal(self, told: str) -> str:
        unit = self._layout.unit
        command = ["journalctl", f"--unit={unit}", f"--lines={JOURNAL_LINES}"]
        out = self._run([*command, "--no-pager", "--output=cat"])[1].strip()
        return f"{unit} {told}\nThe last lines of its journal:\n{out}"
