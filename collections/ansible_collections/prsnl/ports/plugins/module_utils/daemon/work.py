# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One daemon from look to run: what the host does in each step, while it has the lock."""

from __future__ import annotations

import os
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.daemon.archives import (
    list_tree,
    listing_path,
    read_listing,
    write_listing,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import (
    DaemonError,
    DaemonFile,
    Installer,
    Missing,
    Parts,
    ServiceManager,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.change import (
    Daemon,
    DaemonRequest,
    Placement,
    Preparation,
    Setting,
    find_ids,
    take_back_other,
    undo_name,
)
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.installers import (
    accept_download,
    begin_downloads,
    look,
    read_parts,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import Content
from ansible_collections.prsnl.ports.plugins.module_utils.host.manifest import manifest_path
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import ANYTHING, Undo

HEADER = "# Written by Ansible. Changes made here are lost."
# What is taken back if the installation fails, and what has to go in any case.
INSTALL, GUARD = "install", "install-guard"


@dataclass(frozen=True)
class Tools:
    """What a step works with."""

    run: Runner
    manager: ServiceManager
    installer: Installer
    setting: Setting

    def undo(self, name: str) -> Undo:
        """Return an undo of this host."""
        return Undo(name, self.setting.undo_folder)


def read_request(
    params: t.Mapping[str, t.Any],
    tools: Tools,
    parts: t.Mapping[str, str],
    *,
    is_fresh: bool,
    is_check: bool,
) -> DaemonRequest:
    """Return what the task asks for.

    :param params: those of the module for one daemon.
    :param parts: what is installed.
    :raises DaemonError: an option isn't possible on this host.
    """
    unit = params["unit"]
    options = tools.manager.options_file(unit, params["service_options"], HEADER)
    files = [options] if options else []
    archives = [d["path"] for d in params["downloads"] if d["kind"] == "archive"]
    for entry in params["files"]:
        path = entry["path"]
        _refuse_foreign_links(path, archives)
        files.append(_read_file(entry, is_check=is_check))
    return DaemonRequest(
        unit=unit,
        files=tuple(files),
        endpoints=tuple(params["endpoints"]),
        prepare=tuple(
            Preparation(tuple(step["command"]), step["creates"], step["stdin"])
            for step in params["prepare"]
        ),
        is_managed=params["state"] == "started",
        is_fresh=is_fresh,
        timeout=params["timeout"],
        parts=parts,
    )


def _read_file(entry: t.Mapping[str, t.Any], *, is_check: bool) -> DaemonFile:
    path = entry["path"]
    if entry.get("state") == "absent":
        return DaemonFile(path=path, wanted=None, applied_by=entry["applied_by"])
    try:
        ids = find_ids(entry["owner"], entry["group"])
    except DaemonError as error:
        # The package that makes the user isn't there yet.
        if not is_check:
            raise DaemonError(f"{path}: {error}") from None
        ids = (0, 0)
    try:
        mode = int(entry["mode"], 8)
    except ValueError:
        raise DaemonError(
            f"{path}: mode is {entry['mode']!r}, allowed are octal digits such as 0644"
        ) from None
    is_secret = entry["secret"] is not None
    text = entry["secret"] if is_secret else entry["content"]
    if is_secret and not text.strip():
        raise DaemonError(
            f"{path}: secret is empty, and a file without one could mean that none is needed. Give"
            " it one"
        )
    return DaemonFile(
        path=path,
        wanted=Content(text.encode(), mode, *ids),
        applied_by=entry["applied_by"],
        validate=entry["validate"],
        is_secret=is_secret,
    )


def _refuse_foreign_links(path: str, archives: t.Iterable[str]) -> None:
    """Let no link of an archive lead root out of it."""
    for archive in archives:
        inside = os.path.realpath(archive) + os.sep
        if path.startswith(archive + os.sep) and not os.path.realpath(path).startswith(inside):
            raise DaemonError(
                f"{path} leads out of {archive} by a link that its archive has. Choose another path"
            )


def perform(
    params: t.Mapping[str, t.Any], tools: Tools, *, step: str = "all", is_check: bool = False
) -> dict[str, t.Any]:
    """Do one step for one daemon, and return its result.

    :param params: those of the module for one daemon.
    :param step: ``all``, ``fresh``, ``settle`` or ``abandon``, as the module documents them.
    :raises DaemonError: it fails; the host is as before, unless the message says otherwise.
    :raises UndoError: something can't be taken back.
    :raises OSError: something can't be read or written.
    """
    parts = read_parts(params)
    if step == "abandon":
        return _abandon(tools)
    if step in ("fresh", "settle"):
        return _finish(params, parts, tools, is_fresh=step == "fresh")
    # Before the look: it may bring back what is looked at.
    recovered = [] if is_check else _recover(params, tools)
    missing, versions = look(parts, tools.installer, tools.setting.directory)
    if is_check:
        return _preview(params, tools, missing, versions)
    result = _result()
    if missing:
        result["missing"] = asdict(missing)
        result["staged"] = _begin(params, parts, missing, tools)
        if tools.installer.facts:
            result["installer"] = tools.installer.facts
    elif params["unit"]:
        request = read_request(params, tools, versions, is_fresh=False, is_check=False)
        result = _apply(Daemon(request, tools.run, tools.manager, tools.setting))
    if not missing:
        _list_files(parts, tools.setting.directory)
    if recovered:
        result["recovered"] = [*recovered, *result.get("recovered", [])]
        result["changed"] = True
    return result


def _list_files(parts: Parts, directory: str) -> None:
    """List files that were there before listings were, so that their content isn't read again."""
    for download in parts.downloads:
        if download.kind == "file" and read_listing(download.path, directory) is None:
            write_listing(list_tree(download.path, download.path, download.checksum), directory)


def _recover(params: t.Mapping[str, t.Any], tools: Tools) -> list[str]:
    """Take back a change of the same daemon that this one can't go on with."""
    unit = params["unit"]
    if not unit:
        return []
    options = tools.manager.options_file(unit, {}, HEADER)
    return take_back_other(
        tools.undo(undo_name(unit)),
        tools.run,
        [
            manifest_path(unit, tools.setting.directory),
            *([options.path] if options else []),
            *(entry["path"] for entry in params["files"]),
        ],
    )


def _result(**more: t.Any) -> dict[str, t.Any]:
    return {
        "changed": False,
        "actions": [],
        "missing": asdict(Missing()),
        "changed_files": [],
        **more,
    }


def _preview(
    params: t.Mapping[str, t.Any], tools: Tools, missing: Missing, versions: t.Mapping[str, str]
) -> dict[str, t.Any]:
    told = missing.told()
    if not params["unit"]:
        return _result(changed=bool(told), actions=told, missing=asdict(missing))
    request = read_request(params, tools, versions, is_fresh=bool(missing), is_check=True)
    daemon = Daemon(request, tools.run, tools.manager, tools.setting)
    daemon.preview()
    actions = told + daemon.actions
    return _result(
        changed=bool(actions),
        actions=actions,
        missing=asdict(missing),
        changed_files=[file.path for file in daemon.changed_files],
        diff=daemon.diff(),
        **_warned(daemon),
    )


def _warned(daemon: Daemon) -> dict[str, list[str]]:
    warnings = daemon.hand_edits()
    return {"warnings": warnings} if warnings else {}


def _apply(daemon: Daemon) -> dict[str, t.Any]:
    changed_files = [file.path for file in daemon.changed_files]
    diff, warned = daemon.diff(), _warned(daemon)
    daemon.apply()
    result = _result(
        changed=bool(daemon.actions),
        actions=daemon.actions,
        changed_files=changed_files,
        diff=diff,
        **warned,
    )
    return {**result, "recovered": daemon.recovered} if daemon.recovered else result


def _begin(
    params: t.Mapping[str, t.Any], parts: Parts, missing: Missing, tools: Tools
) -> dict[str, str]:
    """Get ready for the modules that install what is missing; return where downloads go."""
    setting = tools.setting
    what = params["unit"] or ", ".join(parts.packages) or "programs"
    undo, guard = tools.undo(INSTALL), tools.undo(GUARD)
    try:
        undo.begin(f"{what}: its installation", setting.changer, setting.token)
        guard.begin(f"{what}: what its installation needs", setting.changer, setting.token)
        tools.installer.begin(parts, missing, undo, guard)
        staged = begin_downloads(parts, missing, guard, setting.directory)
        guard.note(staged=staged)
    except (OSError, DaemonError):
        _abandon(tools)
        raise
    return staged


def _abandon(tools: Tools) -> dict[str, t.Any]:
    for name in (GUARD, INSTALL):
        undo = tools.undo(name)
        if undo.is_pending:
            undo.take_back(tools.run)
    return _result()


def _finish(
    params: t.Mapping[str, t.Any], parts: Parts, tools: Tools, *, is_fresh: bool
) -> dict[str, t.Any]:
    """Go on when the modules have installed what was missing."""
    undo, guard = tools.undo(INSTALL), tools.undo(GUARD)
    if not undo.is_pending or not guard.is_pending:
        raise DaemonError("The installation was cut off, and taken back. Run it again")
    # Packages stay even if the daemon doesn't run with its new files, and so does their source.
    undo.confirm()
    try:
        return _finish_with(params, parts, tools, guard, is_fresh=is_fresh)
    finally:
        guard.take_back(tools.run)


def _finish_with(
    params: t.Mapping[str, t.Any], parts: Parts, tools: Tools, guard: Undo, *, is_fresh: bool
) -> dict[str, t.Any]:
    staged = guard.facts["staged"]
    placements = [
        Placement(staged[download.url], accept_download(download, staged[download.url]))
        for download in parts.downloads
        if download.url in staged
    ]
    if params["unit"]:
        _missing, versions = look(parts, tools.installer, tools.setting.directory)
        request = read_request(params, tools, versions, is_fresh=is_fresh, is_check=False)
        daemon = Daemon(request, tools.run, tools.manager, tools.setting, placements)
        return _apply(daemon)
    if placements:
        _place(placements, tools)
    return _result()


def _place(placements: t.Sequence[Placement], tools: Tools) -> None:
    """Move to its place what was downloaded, where no daemon depends on it."""
    setting = tools.setting
    undo = tools.undo("downloads")
    undo.begin(
        f"{', '.join(place.listing.path for place in placements)}: the download",
        setting.changer,
        setting.token,
    )
    for place in placements:
        path = listing_path(place.listing.path, setting.directory)
        undo.keep((path, ANYTHING))
        undo.exchange(place.staged, place.listing.path)
        write_listing(place.listing, setting.directory)
    undo.confirm()
