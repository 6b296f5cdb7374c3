"""A simulated brew: it lays real programs into /opt/homebrew, with the formula's own defaults.

Follows brew(1) and the formula postgresql@16 of homebrew-core: keg-only, its ``post_install`` makes
a cluster WITHOUT checksums in var/postgresql@16, its ``service`` keeps it alive on PostgreSQL's
default port. Like brew's ``check_run_command_as_root`` it refuses root but for ``services`` and
``--prefix``. The programs are those of the lab's mirror, built for Linux.
Not modelled: taps, casks, bottles, dependencies, links outside of opt/, and everything else.
"""

from __future__ import annotations

import json
import os
import plistlib
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common import fail, record

PREFIX = Path("/opt/homebrew")
MIRROR = Path("/srv/lab-mirror/pgdg")
FORMULA = "postgresql@16"
ALIASES = {"postgres@16": FORMULA}
LABEL = f"homebrew.mxcl.{FORMULA}"


def version() -> str:
    (package,) = MIRROR.rglob("postgresql-16_*.deb")
    return package.name.split("_")[1].split("-")[0]


def keg() -> Path:
    return PREFIX / "Cellar" / FORMULA / version()


def opt() -> Path:
    return PREFIX / "opt" / FORMULA


def info(names: list[str]) -> dict[str, list[object]]:
    found: list[object] = []
    for name in names:
        if ALIASES.get(name, name) != FORMULA:
            fail(1, f'Error: No available formula with the name "{name}".')
        installed = [{"version": version()}] if (keg() / "INSTALL_RECEIPT.json").exists() else []
        found.append(
            {
                "name": FORMULA,
                "full_name": FORMULA,
                "tap": "homebrew/core",
                "aliases": list(ALIASES),
                "oldnames": [],
                "versions": {"stable": version()},
                "keg_only": True,
                "installed": installed,
                "outdated": False,
                "pinned": False,
            }
        )
    return {"formulae": found, "casks": []}


def install() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for package in ("postgresql-16", "postgresql-client-16"):
            (path,) = MIRROR.rglob(f"{package}_*.deb")
            subprocess.run(["/usr/bin/dpkg-deb", "-x", str(path), folder], check=True)
        made = keg()
        made.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(f"{folder}/usr/lib/postgresql/16", made, symlinks=True)
        shares = made / "share"
        (shares / "postgresql").unlink()
        shutil.copytree(f"{folder}/usr/share/postgresql/16", shares / "postgresql", symlinks=True)
    opt().parent.mkdir(exist_ok=True)
    opt().symlink_to(os.path.relpath(made, opt().parent))
    (made / "INSTALL_RECEIPT.json").write_text('{"installed_on_request": true}')
    data = PREFIX / "var" / FORMULA
    if not (data / "PG_VERSION").exists():
        data.parent.mkdir(parents=True, exist_ok=True)
        command = [str(opt() / "bin/initdb"), "--locale=en_US.UTF-8", "-E", "UTF-8", str(data)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    print(f"==> Summary\n🍺  {made}")


def services(verb: str, name: str) -> None:
    user = pwd.getpwuid(os.geteuid())
    path = Path(user.pw_dir) / "Library/LaunchAgents" / f"{LABEL}.plist"
    target = f"gui/{user.pw_uid}"
    if verb == "start":
        path.parent.mkdir(parents=True, exist_ok=True)
        log = str(PREFIX / "var/log" / f"{FORMULA}.log")
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        job = {
            "Label": LABEL,
            "EnvironmentVariables": {"LC_ALL": "en_US.UTF-8"},
            "KeepAlive": True,
            "ProgramArguments": [f"{opt()}/bin/postgres", "-D", f"{PREFIX}/var/{FORMULA}"],
            "RunAtLoad": True,
            "StandardErrorPath": log,
            "StandardOutPath": log,
            "WorkingDirectory": str(PREFIX),
            # The simulation has no sessions: whose job it is has to be said.
            "UserName": user.pw_name,
        }
        path.write_bytes(plistlib.dumps(job))
        subprocess.run(["/bin/launchctl", "bootstrap", target, str(path)], check=True)
    else:
        subprocess.run(["/bin/launchctl", "bootout", f"{target}/{LABEL}"], check=True)
        path.unlink()
    print(f"==> Successfully {verb}ed `{name}`")


def main() -> None:
    record("/opt/homebrew/bin/brew")
    words = [word for word in sys.argv[1:] if word not in ("--formula", "--quiet")]
    verb, *names = words
    if os.geteuid() == 0 and verb not in ("services", "--prefix"):
        fail(
            1,
            "Error: Running Homebrew as root is extremely dangerous and no longer supported.\n"
            "As Homebrew does not drop privileges on installation you would be giving all\n"
            "build scripts full access to your system.",
        )
    if verb == "--prefix":
        print(PREFIX)
    elif verb == "info" and "--json=v2" in names:
        print(json.dumps(info([name for name in names if not name.startswith("-")])))
    elif verb == "install":
        info(names)
        install()
    elif verb == "update":
        print("Already up-to-date.")
    elif verb == "services":
        services(*names)
    else:
        fail(1, f"Error: Unknown command: {verb}")


if __name__ == "__main__":
    main()
