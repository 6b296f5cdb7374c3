# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packet filter on a macOS host: pfctl, its boot, and whoever else filters there.

The rules are an anchor of their own, called from the main ruleset. Where the main ruleset lacks the
call, its filter rules are loaded as they are, with the call behind them: ``pfctl -R`` leaves tables
and translation alone. ``pfctl -E`` counts who needs the filter, so that the last ``-X`` ends it.
"""

from __future__ import annotations

import contextlib
import os
import plistlib
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.firewall import pf_rules
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.change import (
    FirewallError,
    detach,
    read_text,
)
from ansible_collections.prsnl.ports.plugins.module_utils.firewall.policy import Policy, Reach
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import write_text
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner

RECORD = "/var/db/prsnl-ports/firewall.json"
PFCTL = "/sbin/pfctl"
MAIN = "/etc/pf.conf"
RULES = f"/etc/pf.anchors/{pf_rules.ANCHOR}"
# Gone after a boot, as is the reference.
TOKEN = "/var/run/prsnl-ports/pf.token"  # noqa: S105 - pf calls its reference so
CALL = f'anchor "{pf_rules.ANCHOR}"'
LABEL = "prsnl.ports.firewall"
JOB = f"/Library/LaunchDaemons/{LABEL}.plist"
LOG = "/var/log/prsnl-ports-firewall.log"
# After a boot, not when the job is made. An update of macOS replaces pf.conf, and with that what
# calls the anchor. The last lines prove what the job has done; launchd keeps its exit code.
JOB_SCRIPT = f"""\
[ -e {TOKEN} ] && exit 0
mkdir -p {os.path.dirname(TOKEN)}
called() {{ {PFCTL} -s rules 2>/dev/null | grep -q '^{CALL}'; }}
{PFCTL} -a {pf_rules.ANCHOR} -f {RULES}
called || {{ {PFCTL} -s rules 2>/dev/null; echo '{CALL}'; }} | {PFCTL} -R -f -
{PFCTL} -E 2>&1 | sed -n 's/^Token : //p' > {TOKEN}
called && {PFCTL} -a {pf_rules.ANCHOR} -s rules 2>/dev/null | grep -q '^block' \\
    && {PFCTL} -s info 2>/dev/null | grep -q 'Status: Enabled' \\
    && echo "$(date): the rules of the registry are in force" && exit 0
echo "$(date): the rules of the registry are NOT in force; run the playbook of the firewall again"
exit 1
"""
JOB_TEXT = plistlib.dumps(
    {
        "Label": LABEL,
        "RunAtLoad": True,
        "ProgramArguments": ["/bin/sh", "-c", JOB_SCRIPT],
        "StandardErrorPath": LOG,
        "StandardOutPath": LOG,
    }
).decode()
# Of macOS: it decides by program which connections come in, beside pf.
SOCKETFILTERFW = "/usr/libexec/ApplicationFirewall/socketfilterfw"


class Pf:
    """The anchor of the registry.

    :param root: the folder that all files are below; the tests' own instead of ``/``.
    """

    def __init__(self, run: Runner, root: str = "") -> None:
        self._run = run
        self._root = root

    render = staticmethod(pf_rules.render)

    def live(self) -> str:
        """Tables and rules of the anchor, after comments that say whether they are in force."""
        rules = self._pfctl(["-s", "rules"], anchored=True)
        if not rules:
            return ""
        tables = []
        for name in self._pfctl(["-s", "Tables"], anchored=True).split():
            # The Mac may have got other addresses since, which change nothing in the rules.
            content = (
                ["self"]
                if name == pf_rules.OWN
                else self._pfctl(["-t", name, "-T", "show"], anchored=True).split()
            )
            tables.append(f"table <{name}> const {{ {', '.join(content)} }}\n")
        return f"# called: {self._is_called()}\n# enabled: {self._is_enabled()}\n" + "".join(
            [*tables, rules]
        )

    def others(self) -> list[str]:
        """What the main ruleset and other anchors block by themselves, and the other firewall."""
        return [*self._blocks(), *self._application_firewall()]

    def _blocks(self) -> t.Iterator[str]:
        if not self._is_enabled():
            return
        for anchor in ["", *self._other_anchors()]:
            asked = ["-a", anchor] if anchor else []
            rules = self._pfctl([*asked, "-s", "rules"]).splitlines()
            blocks = [rule for rule in rules if rule.startswith("block")]
            if blocks:
                where = f"The anchor {anchor} of pf" if anchor else "The main ruleset"
                whose = "from whoever loads it" if anchor else f"from {MAIN}"
                yield (
                    f"{where} blocks by itself, and could close what the registry opens:"
                    f" {'; '.join(blocks)}. Remove that {whose}. Or keep both: set coexist to true,"
                    " and open there as well what the registry opens."
                )

    def _other_anchors(self) -> list[str]:
        """Return all anchors but ours, those within others too."""
        lines = self._pfctl(["-v", "-s", "Anchors"]).split()
        return [name for name in lines if name != pf_rules.ANCHOR]

    def _application_firewall(self) -> t.Iterator[str]:
        """Tell of macOS's own firewall while it is on. What it says for people is all there is."""
        code, output, _errors = self._run([SOCKETFILTERFW, "--getglobalstate"], "")
        if code == 0 and re.search(r"State = [12]", output):
            yield (
                "macOS's own firewall is on, which decides by program who may listen, and could"
                " close what the registry opens. Turn it off (System Settings, Network, Firewall)."
                " Or keep both: set coexist to true, and let the services' programs in there"
                f" ({SOCKETFILTERFW} --add PROGRAM)."
            )

    def cluster(self) -> str:
        """Nothing: clusters run in guests there."""
        return ""

    def redirected(self) -> list[tuple[str, int]]:
        """Nothing: it isn't looked at there."""
        return []

    def reach(self, policy: Policy) -> Reach:
        """Nothing that others close is known here but by `others`."""
        del policy
        return Reach()

    def check(self, rules: str) -> None:
        """Ask pfctl."""
        self._pfctl(["-n", "-f", "-"], rules, anchored=True)

    def load(self, rules: str) -> None:
        """The anchor is replaced in one transaction, before it is called and enabled."""
        if not rules:
            self._pfctl(["-F", "all"], anchored=True)
            self._release()
            return
        self._pfctl(["-f", "-"], rules, anchored=True)
        if not self._is_called():
            main = f"{self._pfctl(['-s', 'rules'])}{CALL}\n"
            self._pfctl(["-R", "-n", "-f", "-"], main)
            self._pfctl(["-R", "-f", "-"], main)
        if not read_text(self._token) or not self._is_enabled():
            self._enable()

    def replacing(self, live: str) -> str:
        """A load replaces everything already."""
        return live

    def undo_command(self, path: str) -> str:
        """The anchor again; and pf ends as it was, if nobody else needs it."""
        command = f"{PFCTL} -a {pf_rules.ANCHOR} -f {path}"
        if not read_text(self._token):
            command += f'; {PFCTL} -X "$(cat {self._token})"; rm -f {self._token}'
        return command

    def arm(self, name: str, seconds: int, command: str) -> None:
        """A process of its own: launchd leaves it alone when the session ends."""
        del name
        detach(seconds, command)

    def lasts(self, rules: str) -> bool:
        """Files are as `keep` leaves them. An update of macOS replaces pf.conf."""
        called = CALL in read_text(self._main).splitlines()
        if not rules:
            return not called and not any(map(os.path.exists, (self._rules, self._job)))
        return called and read_text(self._rules) == rules and read_text(self._job) == JOB_TEXT

    def keep(self, rules: str) -> None:
        """pf.conf calls the anchor, and a job of launchd fills it."""
        write_text(self._rules, rules, 0o600)
        main = read_text(self._main)
        if CALL not in main.splitlines():
            main = f"{main.rstrip()}\n{CALL}\n".lstrip()
            self._pfctl(["-n", "-f", "-"], main)
            write_text(self._main, main, 0o644)
        if read_text(self._job) != JOB_TEXT:
            write_text(self._job, JOB_TEXT, 0o644)
            # It may be there in another version.
            self._run(["/bin/launchctl", "bootout", f"system/{LABEL}"], "")
            self._program(["/bin/launchctl", "bootstrap", "system", self._job])

    def forget(self) -> None:
        """Remove what `keep` made."""
        self._run(["/bin/launchctl", "bootout", f"system/{LABEL}"], "")
        for path in (self._job, self._rules):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        lines = read_text(self._main).splitlines()
        if CALL in lines:
            lines.remove(CALL)
            write_text(self._main, "".join(f"{line}\n" for line in lines), 0o644)

    def boot_files(self) -> list[str]:
        """The rules, what calls them, and the job that fills the anchor."""
        return [self._rules, self._main, self._job]

    def boot_commands(self) -> list[list[str]]:
        """Nothing: launchd reads its jobs at boot."""
        return []

    def _is_called(self) -> bool:
        return any(line.startswith(CALL) for line in self._pfctl(["-s", "rules"]).splitlines())

    def _is_enabled(self) -> bool:
        return "Status: Enabled" in self._pfctl(["-s", "info"])

    def _enable(self) -> None:
        _code, output, errors = self._run([PFCTL, "-E"], "")
        token = re.search(r"^Token : (\S+)", output + errors, re.MULTILINE)
        if token is None:
            raise FirewallError(f"{PFCTL} -E gave no token: {errors.strip()}")
        write_text(self._token, f"{token[1]}\n", 0o600)

    def _release(self) -> None:
        token = read_text(self._token).strip()
        if token:
            self._run([PFCTL, "-X", token], "")
            os.unlink(self._token)

    def _pfctl(self, arguments: t.Sequence[str], stdin: str = "", *, anchored: bool = False) -> str:
        anchor = ["-a", pf_rules.ANCHOR] if anchored else []
        return self._program([PFCTL, *anchor, *arguments], stdin)

    def _program(self, command: t.Sequence[str], stdin: str = "") -> str:
        # pfctl talks about ALTQ and about flushing on its error output when all is well.
        code, output, errors = self._run(command, stdin)
        if code != 0:
            raise FirewallError(
                f"{' '.join(command)} ended with {code}: {errors.strip() or output.strip()}"
            )
        return output

    @property
    def _main(self) -> str:
        return self._root + MAIN

    @property
    def _rules(self) -> str:
        return self._root + RULES

    @property
    def _token(self) -> str:
        return self._root + TOKEN

    @property
    def _job(self) -> str:
        return self._root + JOB
