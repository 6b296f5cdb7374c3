# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""APT as the installer of packages, and what is installed on any system: downloads and users."""

from __future__ import annotations

import contextlib
import fnmatch
import importlib.util
import os
import pwd
import re
import time
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.daemon.archives import (
    Listing,
    hash_file,
    is_as_listed,
    list_tree,
    make_roots,
    read_listing,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    DaemonError,
    Download,
    Installed,
    Installer,
    Missing,
    Parts,
    StockStep,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.openpgp import (
    KeyFileError,
    fingerprints,
    normalized,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import (
    Content,
    is_safe,
    read_file,
    write_file,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import DIRECTORY
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import printable
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import ANYTHING, Undo

# Where a host keeps what it has downloaded to install it.
CACHE = "/var/cache/prsnl-ports"
KEYRINGS = "/etc/apt/keyrings"
SOURCES = "/etc/apt/sources.list.d"
DPKG = "/var/lib/dpkg"
# Earlier releases put it into what they had unpacked.
FORMER_MARKER = ".checksum"
# Asked by packages whether their services may start; invoke-rc.d(8), deb-systemd-invoke(1p).
POLICY = "/usr/sbin/policy-rc.d"
OWN_POLICY = f"{DIRECTORY}/policy-rc.d"
# In the environment of what is installed here, and of nothing else on the host.
INSTALLS = "PRSNL_PORTS_INSTALLS"
FORBIDDEN = 101
POLICY_TEXT = f"""\
#!/bin/sh
# Written by prsnl.ports while it installs packages, and removed afterwards. It keeps only those
# from starting services. For everything else, also if this should ever be left behind, it says what
# the host's own policy says.
[ -z "${INSTALLS}" ] || exit {FORBIDDEN}
[ ! -x {OWN_POLICY} ] || exec {OWN_POLICY} "$@"
exit 0
"""
# Seconds to wait for another dpkg, as an installation that was killed may have left one running.
PATIENCE = 120.0
PAUSE = 2.0
_FIELDS = ("Package", "Architecture", "db:Status-Status", "Version", "Provides")
_FORMAT = "\\t".join(f"${{{name}}}" for name in _FIELDS) + "\\n"


class _Package(t.NamedTuple):
    """A line of dpkg-query."""

    name: str
    architecture: str
    status: str
    version: str
    provides: str


class Apt:
    """APT and dpkg on this host.

    :param root: the folder that all files are below; the tests' own instead of ``/``.
    """

    environment: t.Mapping[str, str] = {INSTALLS: "1"}
    nobody: t.Mapping[str, t.Any] = {"home": "/nonexistent", "shell": "/usr/sbin/nologin"}

    def __init__(self, run: Runner, root: str = "") -> None:
        self._run = run
        self._root = root

    # --- on the host ---------------------------------------------------------------------------

    @property
    def facts(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def installed(self, names: t.Sequence[str]) -> dict[str, Installed]:
        """By dpkg, with architectures (``name:arch``) and what packages provide."""
        # dpkg itself tells which architecture is the host's.
        packages = [
            package for package in self._query([*names, "dpkg"]) if package.status == "installed"
        ]
        native = next((p.architecture for p in packages if p.name == "dpkg"), "")
        found = {}
        for name in names:
            base, _colon, architecture = name.partition(":")
            for package in packages:
                if package.name == base and package.architecture in (architecture or native, "all"):
                    found[name] = Installed(package.version)
        absent = [name for name in names if name not in found]
        return {**found, **(self._provided(absent) if absent else {})}

    def find_source(self, source: t.Mapping[str, t.Any]) -> str:
        """By the lines that matter; what the module adds to them doesn't."""
        written = read_file(self._root + source_path(source["name"]))
        if written is None:
            return "absent"
        key = read_file(self._root + key_path(source["name"]))
        is_same = set(source_lines(source)) <= set(
            written.data.decode(errors="replace").split("\n")
        )
        is_trusted = key is not None and is_key_of(source, key)
        return "" if is_same and is_trusted else "other"

    def missing_tools(self) -> list[str]:
        """What ansible.builtin.deb822_repository imports."""
        with contextlib.suppress(ImportError, ValueError):
            if importlib.util.find_spec("debian.deb822"):
                return []
        return ["python3-debian"]

    def begin(self, parts: Parts, missing: Missing, undo: Undo, guard: Undo) -> None:
        """Keep packages from starting daemons, and let dpkg finish what it was killed at."""
        if parts.source and missing.source:
            name = parts.source["name"]
            paths = (source_path(name), key_path(name))
            undo.keep(*((self._root + path, ANYTHING) for path in paths))
            os.makedirs(self._root + KEYRINGS, mode=0o755, exist_ok=True)
        if missing.packages or missing.tools:
            self._forbid_starts(guard)
            self._finish()

    def _forbid_starts(self, guard: Undo) -> None:
        policy, own = self._root + POLICY, self._root + OWN_POLICY
        former = read_file(policy)
        wanted = Content(POLICY_TEXT.encode(), 0o755, os.geteuid(), os.getegid())
        guard.keep((policy, wanted.sha256), (own, ANYTHING))
        if former:
            write_file(own, Content(former.data, 0o755, os.geteuid(), os.getegid()))
        write_file(policy, wanted)

    def _finish(self) -> None:
        """Let dpkg finish what was cut off: APT refuses to do anything before that."""
        if not self._is_unfinished():
            return
        assignments = [f"{name}={value}" for name, value in self.environment.items()]
        command = ["env", *assignments, "DEBIAN_FRONTEND=noninteractive", "dpkg", "--configure"]
        end = time.monotonic() + PATIENCE
        while True:
            code, output, errors = self._run([*command, "--force-confdef", "--force-confold", "-a"])
            if code == 0:
                return
            if "lock" not in errors or time.monotonic() > end:
                raise DaemonError(
                    "dpkg was cut off in an earlier installation, and can't finish that"
                    f" (dpkg --configure -a): {errors.strip() or output.strip()}"
                )
            time.sleep(PAUSE)

    def _is_unfinished(self) -> bool:
        # The test of apt (debSystem::CheckUpdates).
        with contextlib.suppress(FileNotFoundError):
            if any(name.isdigit() for name in os.listdir(f"{self._root}{DPKG}/updates")):
                return True
        code, output, _errors = self._run(["dpkg", "--audit"])
        return code == 0 and bool(output.strip())

    def _provided(self, names: t.Sequence[str]) -> dict[str, Installed]:
        """Return what other packages provide, where APT knows no real package of that name."""
        found = {}
        for package in self._query([]):
            for provided in package.provides.split(",") if package.status == "installed" else ():
                match = re.match(r"\s*([^\s(]+)\s*(?:\(= *([^)]*)\))?", provided)
                if match and match[1] in names:
                    found[match[1]] = Installed(match[2] or package.version, package.name)
        return {
            name: entry
            for name, entry in found.items()
            if self._run(["apt-cache", "show", "--no-all-versions", name])[0] != 0
        }

    def _query(self, names: t.Sequence[str]) -> list[_Package]:
        code, output, errors = self._run(
            ["dpkg-query", "--show", f"--showformat={_FORMAT}", *names]
        )
        # 1: one of them isn't known.
        if code not in (0, 1):
            raise DaemonError(f"dpkg-query ended with {code}: {errors.strip()}")
        lines = (line.split("\t") for line in output.splitlines())
        return [_Package(*line) for line in lines if len(line) == len(_FIELDS)]

    # --- on the controller ---------------------------------------------------------------------

    def steps(self, parts: Parts, missing: Missing, packages: t.Sequence[str]) -> list[StockStep]:
        """By ansible.builtin.get_url, deb822_repository and apt."""
        steps = []
        source = parts.source
        # The lists of packages may be old or missing.
        again = {"update_cache": True}
        prefer = {"install_recommends": False}
        if source and missing.source:
            steps.append(_key_step(source))
            if missing.tools:
                tools = {"name": list(missing.tools), "state": "present"}
                steps.append(StockStep("ansible.builtin.apt", tools, prefer, again))
            steps.append(StockStep("ansible.builtin.deb822_repository", _repository(source)))
        update = again if missing.source else {}
        if packages:
            steps += [
                StockStep("ansible.builtin.apt", {"deb": path, **update}, prefer)
                for path in packages
            ]
        elif missing.packages or missing.source:
            names = [
                f"{name}={parts.version}" if parts.version else name for name in missing.packages
            ]
            options = {"name": names, "allow_downgrade": bool(parts.version), **update}
            retry = {} if update else again
            steps.append(StockStep("ansible.builtin.apt", options, prefer, retry))
        return steps

    def unpack(self, path: str, folder: str) -> StockStep:
        """By ansible.builtin.unarchive."""
        unpacked = {"src": path, "dest": folder, "remote_src": True}
        return StockStep("ansible.builtin.unarchive", unpacked)


def is_key_of(source: t.Mapping[str, t.Any], key: Content) -> bool:
    """Tell whether a file has the keys that a source is trusted by, and no others."""
    if source.get("key_checksum"):
        return bool(f"sha256:{key.sha256}" == source["key_checksum"])
    try:
        allowed = {normalized(text) for text in source.get("key_fingerprints") or ()}
        return allowed.issuperset(fingerprints(key.data))
    except KeyFileError:
        return False


def _key_step(source: t.Mapping[str, t.Any]) -> StockStep:
    url, path = source["key_url"], key_path(source["name"])
    if source.get("key_checksum"):
        known = {"url": url, "checksum": source["key_checksum"], "dest": path, "mode": "0644"}
        return StockStep("ansible.builtin.get_url", known)
    trusted = {"url": url, "path": path, "fingerprints": list(source["key_fingerprints"])}
    return StockStep("prsnl.ports.signing_key", trusted)


def _slug(name: str) -> str:
    """Return the name that ansible.builtin.deb822_repository gives to the file of a source."""
    return re.sub(r"[^a-z0-9-]+", "", re.sub(r"[_\s]+", "-", name.lower()))


def _repository(source: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        "name": source["name"],
        "types": ["deb"],
        "uris": [source["url"]],
        "suites": [source["suite"]],
        "components": list(source["components"]),
        "signed_by": key_path(source["name"]),
    }


def source_lines(source: t.Mapping[str, t.Any]) -> list[str]:
    """Return what a source of packages has to say to APT.

    Source: sources.list(5), "DEB822-STYLE FORMAT".
    """
    return [
        "Types: deb",
        f"URIs: {source['url']}",
        f"Suites: {source['suite']}",
        f"Components: {' '.join(source['components'])}",
        f"Signed-By: {key_path(source['name'])}",
    ]


def source_path(name: str) -> str:
    """Return where a source of packages is."""
    return f"{SOURCES}/{_slug(name)}.sources"


def key_path(name: str) -> str:
    """Return where the key of a source of packages is."""
    return f"{KEYRINGS}/{_slug(name)}.asc"


# --- downloads and users -----------------------------------------------------------------------


def read_parts(params: t.Mapping[str, t.Any]) -> Parts:
    """Return what a daemon needs, by the arguments of the module or of its task."""
    source = params.get("source")
    return Parts(
        packages=tuple(params.get("packages") or ()),
        version=str(params.get("version") or ""),
        source={"components": ["main"], **source} if source else None,
        downloads=tuple(
            Download(
                download["url"],
                download["checksum"],
                # APT's word for a package is the name of the kind.
                download.get("kind") or "file",
                download.get("path") or "",
            )
            for download in params.get("downloads") or ()
        ),
        user=str(params.get("user") or ""),
    )


def cache_path(download: Download) -> str:
    """Return where a download is kept that isn't used as it is."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", download.url.rpartition("/")[2])
    return f"{CACHE}/{download.checksum.rpartition(':')[2][:16]}-{name}"


def is_user(name: str) -> bool:
    """Tell whether there is such a user."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def look(
    parts: Parts, installer: Installer, directory: str = DIRECTORY
) -> tuple[Missing, dict[str, str]]:
    """Return what has to be installed, and of what is there the version or checksum by its name.

    :raises DaemonError: that can't be told.
    :raises OSError: what is there can't be read.
    """
    installed = installer.installed(parts.packages) if parts.packages else {}
    packages = [
        name
        for name in parts.packages
        if name not in installed
        or not fnmatch.fnmatchcase(installed[name].version, parts.version or "*")
    ]
    source = installer.find_source(parts.source) if parts.source else ""
    present = [
        download
        for download in parts.downloads
        if (not packages if download.kind == "deb" else has_download(download, directory))
    ]
    missing = Missing(
        packages=tuple(packages),
        source=source,
        downloads=tuple(d.url for d in parts.downloads if d not in present),
        user=bool(parts.user) and not is_user(parts.user),
        tools=tuple(installer.missing_tools()) if source else (),
    )
    versions = {f"package {name}": str(entry) for name, entry in installed.items()}
    versions.update({d.path: d.checksum for d in present if d.kind != "deb"})
    return missing, versions


def has_download(download: Download, directory: str = DIRECTORY) -> bool:
    """Tell whether what was downloaded is there, as it was put there."""
    if not is_safe(download.path):
        # Whatever it is now, it may be something else when it is run.
        return False
    listing = read_listing(download.path, directory)
    if listing and listing.checksum == download.checksum:
        return is_as_listed(listing)
    if download.kind != "file" or not os.path.isfile(download.path):
        return False
    return f"sha256:{hash_file(download.path)}" == download.checksum


def _refuse_foreign(path: str, directory: str) -> None:
    """Raise DaemonError where an archive would replace a folder that nobody knows to be ours."""
    if read_listing(path, directory) or os.path.exists(os.path.join(path, FORMER_MARKER)):
        return
    try:
        names = sorted(os.listdir(path))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        names = [os.path.basename(path)]
    if names:
        raise DaemonError(
            f"{path} is there ({printable(names[0])}{' and more' if names[1:] else ''}), and no"
            " archive was unpacked to it by us. Nothing was changed. Move it away, or choose"
            " another folder"
        )


def begin_downloads(
    parts: Parts, missing: Missing, undo: Undo, directory: str = DIRECTORY
) -> dict[str, str]:
    """Make the folders of what is downloaded, and return by address where it goes for now.

    :raises DaemonError: others than root could change it there, or it is somebody else's.
    :raises OSError: they can't be made.
    """
    staged = {}
    for download in parts.downloads:
        if download.url not in missing.downloads:
            continue
        if download.kind in ("archive", "deb"):
            os.makedirs(CACHE, mode=0o755, exist_ok=True)
        if download.kind == "deb":
            continue
        if not is_safe(download.path):
            raise DaemonError(
                f"{download.path} is in a folder that others than root may change. It is downloaded"
                " and put there by root; choose another folder, or make that one root's"
            )
        if download.kind == "archive":
            _refuse_foreign(download.path, directory)
        os.makedirs(os.path.dirname(download.path), mode=0o755, exist_ok=True)
        # Only root can enter it, whatever an archive says about its own folder.
        folder = undo.stage(download.path)
        os.mkdir(folder, 0o700)
        staged[download.url] = os.path.join(folder, "new")
        if download.kind == "archive":
            os.mkdir(staged[download.url], 0o700)
    return staged


def download_steps(
    parts: Parts, missing: Missing, staged: t.Mapping[str, str], installer: Installer
) -> tuple[list[StockStep], list[str]]:
    """Return what downloads, and the paths of packages; runs on the controller."""
    steps = []
    packages = []
    for download in parts.downloads:
        if download.url not in missing.downloads:
            continue
        is_file = download.kind == "file"
        path = staged[download.url] if is_file else cache_path(download)
        fetched = {"url": download.url, "dest": path, "checksum": download.checksum}
        fetched["mode"] = "0755" if is_file else "0644"
        steps.append(StockStep("ansible.builtin.get_url", fetched))
        if download.kind == "archive":
            steps.append(installer.unpack(path, staged[download.url]))
        elif download.kind == "deb":
            packages.append(path)
    return steps, packages


def user_steps(parts: Parts, missing: Missing, installer: Installer) -> list[StockStep]:
    """Return what adds the user; runs on the controller."""
    if not missing.user:
        return []
    user = {"name": parts.user, "system": True, "create_home": False, **installer.nobody}
    return [StockStep("ansible.builtin.user", user)]


def stock_steps(
    parts: Parts, missing: Missing, staged: t.Mapping[str, str], installer: Installer
) -> list[StockStep]:
    """Return all that installs what is missing, in order; runs on the controller."""
    steps, packages = download_steps(parts, missing, staged, installer)
    by_name = installer.steps(parts, missing, packages)
    return [*user_steps(parts, missing, installer), *steps, *by_name]


def accept_download(download: Download, staged: str) -> Listing:
    """Make what was downloaded root's, and return its listing.

    :raises DaemonError: it has what no download may have.
    :raises OSError: it can't be changed.
    """
    make_roots(staged)
    if download.kind == "archive":
        # Users have to reach what is in it.
        os.chmod(staged, 0o755)  # noqa: S103
    elif f"sha256:{hash_file(staged)}" != download.checksum:
        raise DaemonError(f"{download.url} is not what its checksum says")
    return list_tree(staged, download.path, download.checksum)
