# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nftables on a Linux host: its program, its boot, and whoever else filters there."""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.firewall import (
    foreign as foreign_rules,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall import (
    nftables_rules as firewall_nft,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.change import (
    AGAIN,
    FirewallError,
    detach,
    read_text,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.foreign import (
    SBIN,
    Foreign,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import Policy, Reach
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import write_text
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import DIRECTORY
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import unique

RECORD = f"{DIRECTORY}/firewall.json"
UNIT = "prsnl-ports-firewall"
RULES = "/etc/prsnl-ports/firewall.nft"
UNIT_TEXT = """\
[Unit]
Description=Firewall of the port registry
DefaultDependencies=no
After=nftables.service
Wants=network-pre.target
Before=network-pre.target sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={nft} -f {rules}
ExecReload={nft} -f {rules}
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
ProtectHome=yes
ProtectSystem=strict

[Install]
WantedBy=sysinit.target
"""
DROP_IN_TEXT = """\
# nftables.service clears the whole ruleset, whenever it starts, reloads or stops.
[Service]
ExecStartPost=-{nft} -f {rules}
ExecReload=-{nft} -f {rules}
ExecStopPost=-{nft} -f {rules}
"""


def find_nft() -> t.Optional[str]:
    """Return the path of nft, or None."""
    return shutil.which("nft", path=f"{os.environ.get('PATH', '')}:{SBIN}")


def has_systemd() -> bool:
    """Whether systemd manages this host; the test of sd_booted(3)."""
    return os.path.isdir("/run/systemd/system")


class Nftables:
    """The table of the registry in this host's network namespace.

    :param root: the folder that all files are below; the tests' own instead of ``/``.
    """

    def __init__(self, nft: str, run: Runner, *, systemd: bool, root: str = "") -> None:
        self._nft = nft
        self._run = run
        self._systemd = systemd
        self._root = root
        self._others: t.Optional[Foreign] = None

    render = staticmethod(firewall_nft.render)

    def live(self) -> str:
        """The table without its counters, by numbers."""
        family, name = firewall_nft.TABLE.split()
        code, output, errors = self._run(
            [self._nft, "-s", "-nn", "list", "table", family, name], ""
        )
        if code == 0:
            return output
        if "No such file or directory" in errors:
            return ""
        raise FirewallError(f"nft can't list the table {firewall_nft.TABLE}: {errors.strip()}")

    def others(self) -> list[str]:
        """What closes by default, and what is going to when its unit or the next boot starts it."""
        found = [
            f"{name} is enabled ({path}); disable it ({remedy})"
            for name, path, sign, remedy in (
                ("ufw", "/etc/ufw/ufw.conf", "ENABLED=yes", "ufw disable"),
                (
                    "firewalld",
                    "/etc/systemd/system/multi-user.target.wants/firewalld.service",
                    "[Unit]",
                    "systemctl disable --now firewalld",
                ),
            )
            if sign in map(str.strip, read_text(self._root + path).splitlines())
        ]
        foreign = self._foreign()
        found += [foreign_rules.remedy(hit, self._root) for hit in foreign.closing()]
        found += foreign.blind
        if not found:
            return []
        return [
            "Another firewall is at work, and would close what this one opens:"
            f" {'; '.join(unique(found))}."
            " Or keep both: set coexist to true, and open there as well what the registry opens."
        ]

    def cluster(self) -> str:
        """The first name in the rules that only clusters have."""
        return self._foreign().cluster

    def redirected(self) -> list[tuple[str, int]]:
        """By nftables and by iptables."""
        return list(self._foreign().redirected)

    def reach(self, policy: Policy) -> Reach:
        """By walking packets through the rules of all others."""
        return self._foreign().reach(policy)

    def _foreign(self) -> Foreign:
        if self._others is None:
            try:
                self._others = foreign_rules.read_foreign(self._nft, self._run)
            except (KeyError, TypeError, ValueError) as error:
                raise FirewallError(f"the rules of others can't be read: {error}") from None
        return self._others

    def check(self, rules: str) -> None:
        """Ask nft and the kernel."""
        self._call(["-c", "-f", "-"], rules)

    def load(self, rules: str) -> None:
        """One transaction."""
        self._call(["-f", "-"], rules or firewall_nft.REPLACE)

    def replacing(self, live: str) -> str:
        """The kernel's listing, or rules that replace the table by themselves."""
        if live.startswith(firewall_nft.HEADER):
            return live
        return firewall_nft.REPLACE + live

    def undo_command(self, path: str) -> str:
        """One transaction again."""
        return f"{self._nft} -f {path}"

    def arm(self, name: str, seconds: int, command: str) -> None:
        """A transient timer, because systemd may end what a session leaves behind."""
        if not self._systemd:
            detach(seconds, command)
            return
        self._program(
            [
                "systemd-run",
                "--quiet",
                "--collect",
                f"--unit={UNIT}-undo-{name}",
                "--description=Take back firewall rules that were not confirmed",
                f"--on-active={seconds}s",
                "--timer-property=AccuracySec=100ms",
                # Until it succeeds, or nothing is left to take back.
                "--property=Restart=on-failure",
                f"--property=RestartSec={AGAIN}s",
                "/bin/sh",
                "-c",
                command,
            ]
        )

    def lasts(self, rules: str) -> bool:
        """Files, units and link are as `keep` leaves them."""
        if not rules:
            return not any(map(os.path.lexists, [*self.boot_files(), self._link]))
        return read_text(self._rules) == rules and self._is_wired

    def keep(self, rules: str) -> None:
        """A file of its own and a unit of its own, before the network and the services."""
        if not self._systemd:
            raise FirewallError(
                "systemd doesn't run here, so nothing would load the rules at the next boot. Set"
                " persistent to false and load them otherwise."
            )
        write_text(self._rules, rules, 0o600)
        if self._is_wired:
            return
        write_text(self._unit, self._unit_text, 0o644)
        write_text(self._drop_in, self._drop_in_text, 0o644)
        self._program(["systemctl", "daemon-reload"])
        self._program(["systemctl", "--quiet", "enable", "--now", f"{UNIT}.service"])

    def forget(self) -> None:
        """Remove what `keep` made."""
        if os.path.lexists(self._unit) and self._systemd:
            if read_text(self._unit) != self._unit_text:
                # One of an earlier version takes the rules along when it stops.
                write_text(self._unit, self._unit_text, 0o644)
                self._program(["systemctl", "daemon-reload"])
            self._program(["systemctl", "--quiet", "disable", "--now", f"{UNIT}.service"])
        for path in (self._link, *reversed(self.boot_files())):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        for path in (self._rules, self._drop_in):
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(path))
        if self._systemd:
            self._program(["systemctl", "daemon-reload"])

    def boot_files(self) -> list[str]:
        """The rules, and what loads them."""
        return [self._rules, self._unit, self._drop_in]

    def boot_commands(self) -> list[list[str]]:
        """The unit may be another one again."""
        return [["systemctl", "daemon-reload"]] if self._systemd else []

    @property
    def _is_wired(self) -> bool:
        return (
            read_text(self._unit) == self._unit_text
            and read_text(self._drop_in) == self._drop_in_text
            and os.path.lexists(self._link)
        )

    @property
    def _rules(self) -> str:
        return self._root + RULES

    @property
    def _unit(self) -> str:
        return f"{self._root}/etc/systemd/system/{UNIT}.service"

    @property
    def _drop_in(self) -> str:
        return f"{self._root}/etc/systemd/system/nftables.service.d/{UNIT}.conf"

    @property
    def _link(self) -> str:
        return f"{self._root}/etc/systemd/system/sysinit.target.wants/{UNIT}.service"

    @property
    def _unit_text(self) -> str:
        return UNIT_TEXT.format(nft=self._nft, rules=RULES)

    @property
    def _drop_in_text(self) -> str:
        return DROP_IN_TEXT.format(nft=self._nft, rules=RULES)

    def _call(self, arguments: t.Sequence[str], stdin: str = "") -> str:
        return self._program([self._nft, *arguments], stdin)

    def _program(self, command: t.Sequence[str], stdin: str = "") -> str:
        code, output, errors = self._run(command, stdin)
        if code != 0:
            raise FirewallError(
                f"{' '.join(command)} ended with {code}: {errors.strip() or output.strip()}"
            )
        return output
