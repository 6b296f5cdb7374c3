# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host on which a shop is installed, configured and run: its files are real, its programs aren't.

What systemd, dpkg and the shop's process know is a file, so that it outlives the process that asked
for it, as on a real host. The process has what was on the disk when it started ("memory").
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import shutil
import typing as t
from pathlib import Path

import cuts
from ansible_collections.prsnl.ports.plugins.module_utils.daemon import installers
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    Missing,
    StockStep,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.change import Setting, undo_name
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.installers import (
    Apt,
    read_parts,
    stock_steps,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.systemd import UNITS, Systemd
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.work import Tools, perform
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import STAGED
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import LEASE, Changer
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import changing

UNIT = "shop.service"
ADA = Changer("laptop", "ada", "Run the shop")
# What is downloaded has its version as content.
SHA = {version: f"sha256:{hashlib.sha256(version.encode()).hexdigest()}" for version in "12"}
Params = dict[str, t.Any]


class SimulatedHost:
    """The host below a folder. `stock` executes what Ansible's own modules would do."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "host"
        self.book = folder / "book.json"
        self.kept = folder / "kept"
        self.config = self.root / "etc/shop/shop.conf"
        self.arguments = self.root / "etc/default/shop"
        self.unit_file = Path(f"{self.root}{UNITS}/{UNIT}")
        self.archive = self.root / "opt/shop"
        self.program = self.root / "usr/local/bin/shopctl"
        self.state = self.root / "var/lib/prsnl-ports"
        self.lock = self.root / "run/prsnl-ports/lock"
        self.steps: list[StockStep] = []

    def create(self) -> None:
        """Nothing is installed."""
        shutil.rmtree(self.root, ignore_errors=True)
        for name in ("etc", "opt", "usr/local/bin", "usr/sbin", "var/lib/dpkg/updates"):
            (self.root / name).mkdir(parents=True)
        self.write_book(
            {"packages": {"dpkg": "1.21"}, "active": False, "enabled": False, "reads": {}}
        )

    def save(self) -> None:
        """Remember the host as it is."""
        shutil.rmtree(self.kept, ignore_errors=True)
        shutil.copytree(self.root, self.kept, symlinks=True)
        self.saved_book = self.read_book()

    def reset(self) -> None:
        """Make the host what it was when it was saved."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.kept, self.root, symlinks=True)
        self.write_book(self.saved_book)

    def read_book(self) -> dict[str, t.Any]:
        data: dict[str, t.Any] = json.loads(self.book.read_text(encoding="utf-8"))
        return data

    def write_book(self, data: dict[str, t.Any]) -> None:
        with cuts.outside():
            self.book.write_text(json.dumps(data), encoding="utf-8")

    def on_disk(self) -> dict[str, t.Any]:
        """What a process that starts now has read."""
        files = {
            "config": self.config,
            "arguments": self.arguments,
            "archive": self.archive / "version",
            "program": self.program,
        }
        texts = {
            name: path.read_text(encoding="utf-8") if path.exists() else ""
            for name, path in files.items()
        }
        return {
            **texts,
            "package": self.read_book()["packages"].get("shop", ""),
            "unit": self.read_book()["reads"],
        }

    def definitions(self) -> dict[str, str]:
        """The files that systemd reads."""
        folder = Path(f"{self.root}{UNITS}")
        return {
            str(path.relative_to(folder)): path.read_text(encoding="utf-8")
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    # --- programs ------------------------------------------------------------------------------

    def run(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        del stdin
        program, *arguments = command
        if program == "systemctl":
            return self._systemctl(arguments)
        if program == "dpkg-query":
            packages = self.read_book()["packages"]
            names = [word for word in arguments if not word.startswith("--")]
            lines = [
                f"{name}\tamd64\tinstalled\t{version}\t\n"
                for name, version in packages.items()
                if not names or name in names
            ]
            return 0, "".join(lines), ""
        if program == "check":
            text = Path(arguments[0]).read_text(encoding="utf-8")
            return (1, "", f"{arguments[0]}: bad line") if "bad" in text else (0, "", "")
        return {"apt-cache": (100, "", "no such package")}.get(program, (0, "", ""))

    def _systemctl(self, arguments: list[str]) -> tuple[int, str, str]:
        verb = arguments[0]
        book = self.read_book()
        if verb == "show":
            unread = self._unread(book)
            blocks = []
            for name in arguments[arguments.index("--") + 1 :]:
                own = name == UNIT
                values = {
                    "LoadState": "loaded",
                    "ActiveState": "active" if own and book["active"] else "inactive",
                    "UnitFileState": "enabled" if own and book["enabled"] else "disabled",
                    "NeedDaemonReload": "yes" if name in unread else "no",
                    "NRestarts": "0",
                }
                blocks.append("".join(f"{key}={value}\n" for key, value in values.items()))
            return 0, "\n".join(blocks), ""
        book.setdefault("calls", []).append(verb)
        if verb == "daemon-reload":
            book["reads"] = self.definitions()
        elif verb in ("start", "restart", "reload-or-restart", "reload"):
            self.write_book(book)
            now = self.on_disk()
            if "broken" in now["arguments"]:
                book["active"] = False
                self.write_book(book)
                return 1, "", "Job failed"
            # Those of other units aren't the process's.
            now["unit"] = {key: text for key, text in now["unit"].items() if key.startswith(UNIT)}
            is_reload = verb.startswith("reload") and book["active"]
            book["memory"] = {**book["memory"], "config": now["config"]} if is_reload else now
            book["active"] = True
        elif verb == "stop":
            book["active"] = False
        elif verb in ("enable", "disable"):
            book["enabled"] = verb == "enable"
        self.write_book(book)
        return 0, "", ""

    def _unread(self, book: dict[str, t.Any]) -> set[str]:
        """Units with definitions that systemd hasn't read."""
        now, reads = self.definitions(), book["reads"]
        changed = {name for name in {*now, *reads} if now.get(name) != reads.get(name)}
        return {name.partition(".d/")[0] for name in changed}

    def stock(self, step: StockStep) -> bool:
        """Execute what a module of Ansible's would do; returns whether that changed something."""
        self.steps.append(step)
        arguments = step.arguments
        kind = step.module.rpartition(".")[2]
        if kind == "apt":
            book = self.read_book()
            for word in arguments["name"]:
                name, _equals, version = word.partition("=")
                assert "exit 101" in Path(f"{self.root}/usr/sbin/policy-rc.d").read_text("utf-8")
                book["packages"][name] = version.replace("*", ".0")
            self.write_book(book)
            return bool(arguments["name"])
        if kind == "deb822_repository":
            path = Path(self.root / "etc/apt/sources.list.d/vendor.sources")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(installers.source_lines(source())), encoding="utf-8")
        elif kind == "get_url":
            target = self._path(arguments["dest"])
            (version,) = (version for version in SHA if SHA[version] == arguments["checksum"])
            target.write_text(version, encoding="utf-8")
            target.chmod(int(arguments["mode"], 8))
        elif kind == "unarchive":
            place = Path(arguments["dest"])
            version = self._path(arguments["src"]).read_text(encoding="utf-8")
            (place / "version").write_text(version, encoding="utf-8")
            (place / "version").chmod(0o666)
            (place / "bin").mkdir()
            (place / "bin" / "run").write_text(version, encoding="utf-8")
        return True

    def _path(self, path: str) -> Path:
        """Where a path of the host is, which may say so already."""
        return Path(path if path.startswith(str(self.root)) else f"{self.root}{path}")

    # --- the action ----------------------------------------------------------------------------

    def change(self, token: str = "", instead_of: str = "", unit: str = UNIT) -> t.Any:
        return changing(
            ADA,
            self.run,
            token=token,
            instead_of=instead_of,
            adopts={undo_name(unit)} if unit else set(),
            path=str(self.lock),
            folders=[str(self.state / "undo")],
        )

    def tools(self, token: str) -> Tools:
        setting = Setting(
            str(self.state), f"{self.state}/undo", f"{self.root}/run", changer=ADA, token=token
        )
        root = str(self.root)
        return Tools(self.run, Systemd(self.run, root), Apt(self.run, root), setting)

    def provide(self, params: Params) -> dict[str, t.Any]:
        """One run of the task, which may come after one that was killed."""
        with self.change(instead_of=self.lease()) as changes:
            found = perform(params, self.tools(changes.token))
            recovered = changes.recovered + found.get("recovered", [])
            if "staged" not in found:
                return {**found, "recovered": recovered}
            token = changes.lend(LEASE)
        parts = read_parts(params)
        missing = Missing(**found["missing"])
        installer = Apt(self.run, str(self.root))
        changed = [
            self.stock(step) for step in stock_steps(parts, missing, found["staged"], installer)
        ]
        with self.change(token) as changes:
            result = perform(params, self.tools(token), step="fresh" if any(changed) else "settle")
        return {**result, "changed": any(changed) or result["changed"], "recovered": recovered}

    def preview(self, params: Params) -> dict[str, t.Any]:
        return perform(params, self.tools(""), is_check=True)

    def lease(self) -> str:
        """The token that whoever was killed left in the lock."""
        text = self.lock.read_text(encoding="utf-8") if self.lock.exists() else ""
        token: str = json.loads(text)["token"] if text else ""
        return token

    def leftovers(self) -> list[str]:
        """What must not stay behind when a run has ended."""
        found = [str(path) for path in self.root.rglob("*") if path.name.startswith(STAGED)]
        undo = self.state / "undo"
        found += [str(path) for path in undo.iterdir()] if undo.exists() else []
        policy = self.root / "usr/sbin/policy-rc.d"
        own = self.state / "policy-rc.d"
        return found + [str(path) for path in (policy, own) if path.exists()]


def source() -> dict[str, t.Any]:
    return {
        "name": "vendor",
        "url": "https://example.com/apt",
        "suite": "stable",
        "components": ["main"],
        "key_url": "https://example.com/key.asc",
        "key_checksum": SHA["1"],
    }


def shop(host: SimulatedHost, version: str, **changes: t.Any) -> Params:
    """The options of the module for a version of the shop."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    group = grp.getgrgid(os.getegid()).gr_name

    def file(path: Path, content: str, applied_by: str, validate: str = "") -> Params:
        return {
            "path": str(path),
            "content": content,
            "secret": None,
            "mode": "0640",
            "owner": user,
            "group": group,
            "validate": validate,
            "applied_by": applied_by,
        }

    params: Params = {
        "unit": UNIT,
        "packages": ["shop"],
        "version": f"{version}*",
        "source": None,
        "downloads": [
            {
                "url": f"https://example.com/shop-{version}.tar.gz",
                "checksum": SHA[version],
                "kind": "archive",
                "path": str(host.archive),
            },
        ],
        "user": None,
        "service_options": {"Restart": "on-failure"},
        "files": [
            file(host.config, f"config {version}", "reload", "check %s"),
            file(host.arguments, f"arguments {version}", "restart"),
            file(host.unit_file, f"unit {version}", "restart"),
        ],
        "prepare": [],
        "endpoints": [],
        "state": "started",
        "timeout": 0.1,
    }
    return {**params, **changes}
