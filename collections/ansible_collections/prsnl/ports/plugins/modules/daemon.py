#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon
short_description: Install, configure, confine and run daemons, in one remote execution
version_added: 0.2.0
description:
  - Brings the packages, all files and the systemd unit of one daemon to the wanted state.
  - Where nothing has to change, that is a single remote execution. What is missing is installed by
    the modules of ansible.builtin - packages with their source (M(ansible.builtin.apt),
    M(ansible.builtin.deb822_repository)), downloads (M(ansible.builtin.get_url),
    M(ansible.builtin.unarchive)) and the user (M(ansible.builtin.user)). Their own
    C(module_defaults) hold, and their warnings are passed on.
  - A package doesn't get to start its daemon where its own defaults say. C(/usr/sbin/policy-rc.d)
    forbids it to what is installed here, and to nothing else on the host.
  - Each new file is checked by its own program before it replaces the former one, when the files
    listed before it are in place. The unit restarts or reloads only if something that it reads has
    changed, and then has to listen on its endpoints. If a file is refused or the unit does not
    listen, all former files and downloads come back, the unit runs with them again if it ran
    before, and the error has the end of its journal.
  - What is replaced is kept below C(/var/lib/prsnl-ports/undo) until the unit runs. A run that was
    killed or cut off by a reboot at any moment is taken back or completed by the next one. It says
    so in RV(recovered).
  - A manifest below C(/var/lib/prsnl-ports) remembers what was rendered for which endpoints, and
    with which versions of its packages and downloads the unit was started. So the unit also
    restarts when its endpoints move, when it still runs a program that was replaced on disk, when
    its process is older than its unit file or a drop-in, and
    when a unit file was changed without C(systemctl daemon-reload), be it that of a timer or socket
    beside it. M(prsnl.ports.port_verify) finds files that were edited by hand, and
    a warning names the lines that such a file loses before it is replaced.
  - On a Mac, packages are formulae of Homebrew. M(community.general.homebrew) installs them as the
    owner of the prefix C(/opt/homebrew), never as root, and nothing below the prefix changes its
    owner. A daemon is a job of launchd in the domain C(system), defined by a property list in
    C(/Library/LaunchDaemons) with O(service_options) as its keys. They are checked against
    launchd.plist(5). A job that doesn't listen shows the ends of the files of its output instead of
    a journal. This was written against the manuals and tried on a simulated launchd only - not
    tried on a Mac.
  - Root follows no symbolic link in a folder that others may change. What an archive says about
    owners is ignored, what others may write and rights to be somebody else are taken away, and what
    was unpacked is compared with a listing of its hashes each time.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.lock
options:
  unit:
    description:
      - The name of the systemd unit, such as V(nginx.service). On a Mac, the label of the job of
        launchd, such as V(prsnl.nginx).
      - Leave it out for programs that aren't a daemon. Then O(packages) are all that is looked
        after, with their O(source).
    type: str
  packages:
    description:
      - The names of the packages that have to be installed.
    type: list
    elements: str
    default: []
  version:
    description:
      - Version of all O(packages), as APT writes it. V(*) stands for any text.
      - Empty means any version - the newest when they are installed, and no upgrades afterwards.
    type: str
    default: ''
  source:
    description:
      - Where APT gets O(packages) from, if not from the system's own sources.
    type: dict
    suboptions: &source
      name:
        description:
          - The name of the source and of its key, below C(/etc/apt).
        type: str
        required: true
      url:
        description:
          - The address of the repository, or of a mirror of it.
        type: str
        required: true
      suite:
        description:
          - Its suite.
        type: str
        required: true
      components:
        description:
          - Its components.
        type: list
        elements: str
        default: [main]
      key_url:
        description:
          - The address of the key that signs it.
        type: str
        required: true
      key_fingerprints:
        description:
          - The fingerprints of the keys that are allowed in it, with 40 or 64 hexadecimal digits. A
            file that has any other key is refused before APT knows of it.
        type: list
        elements: str
        default: []
        version_added: 0.2.0
      key_checksum:
        description:
          - The SHA-256 of the key's file, as C(sha256:<hexadecimal digits>), instead of
            O(source.key_fingerprints). It changes when the vendor prolongs the key.
        type: str
        default: ''
  downloads:
    description:
      - What is downloaded by the host, and has to match its checksum.
    type: list
    elements: dict
    default: []
    suboptions: &downloads
      url:
        description:
          - Where it is.
        type: str
        required: true
      checksum:
        description:
          - Its SHA-256, as C(sha256:<hexadecimal digits>).
        type: str
        required: true
      path:
        description:
          - Where it goes - the file, or with V(archive) the directory that it is unpacked into.
            For V(deb) this isn't used. Nobody but root may write to the directories above, and an
            archive replaces no directory with files that it has not unpacked.
        type: path
      kind:
        description:
          - What is done with it. V(file) makes it executable at its path, V(archive) unpacks it,
            and V(deb) installs it as the one package of O(packages), which is only downloaded if
            O(version) isn't installed.
        type: str
        choices: [file, archive, deb]
        default: file
  user:
    description:
      - The system user that the daemon runs as, if nothing else makes it. It gets a group of the
        same name, and neither a home nor a shell.
    type: str
  service_options:
    description:
      - Options of the unit's C([Service]) section, on top of those that confine it
        (O(confinement)). They are written to C(hardening.conf) in the unit's drop-in directory.
      - A list is written with blanks between its elements. An option of the same name replaces the
        one that is there by default.
      - On a Mac they are the keys of the job's property list, as launchd.plist(5) has them, in
        their own types. C(Label) is O(unit), and C(RunAtLoad) is true by default.
    type: dict
    default: {}
    aliases: [options]
  confinement:
    description:
      - Whether a service (a unit that ends in C(.service)) is confined to what a network daemon
        needs. Options of O(service_options) replace these.
      - These are C(AmbientCapabilities=), C(CapabilityBoundingSet=), C(LockPersonality=true),
        C(MemoryDenyWriteExecute=true), C(NoNewPrivileges=true), C(PrivateDevices=true),
        C(PrivateTmp=true), C(ProtectClock=true), C(ProtectControlGroups=true),
        C(ProtectHome=true), C(ProtectHostname=true), C(ProtectKernelLogs=true),
        C(ProtectKernelModules=true), C(ProtectKernelTunables=true),
        C(ProtectProc=invisible), C(ProtectSystem=strict), C(RestrictNamespaces=true),
        C(RestrictRealtime=true), C(RestrictSUIDSGID=true),
        C(SystemCallArchitectures=native), C(SystemCallErrorNumber=EPERM),
        C(SystemCallFilter=@system-service landlock_add_rule landlock_create_ruleset
        landlock_restrict_self seccomp), C(UMask=0027).
      - C(RestrictAddressFamilies) allows Unix sockets, netlink, and the address families that the
        host has (C(port_address_families)). What they mean is in systemd.exec(5).
      - With V(false) the unit has the options of O(service_options) only. If there are none, the
        drop-in that was written before goes.
    type: bool
    default: true
  files:
    description:
      - The files that the daemon reads, in the order in which they are written. Missing directories
        are made.
    type: list
    elements: dict
    default: []
    suboptions: &files
      path:
        description:
          - Where the file is.
        type: path
        required: true
      content:
        description:
          - The whole content of the file, as with P(ansible.builtin.template#lookup).
        type: str
      secret:
        description:
          - The whole content of a file that nobody may see in logs, output or diffs, instead of
            O(files[].content). It can't be empty or blank.
        type: str
      mode:
        description:
          - Its permissions, in octal digits.
        type: str
        default: '0644'
      owner:
        description:
          - The user who owns it.
        type: str
        default: root
      group:
        description:
          - The group that owns it.
        type: str
        default: root
      validate:
        description:
          - The program that checks the new content before the file is replaced; C(%s) stands for
            the path of the new file. It has to end with the code 0.
        type: str
        default: ''
      applied_by:
        description:
          - What makes the daemon read it.
        type: str
        choices: [restart, reload, none]
        default: restart
      state:
        description:
          - V(absent) removes a file that was rendered before, and leaves any other one alone.
        type: str
        choices: [present, absent]
        default: present
        version_added: 0.3.0
  prepare:
    description:
      - Programs that run once, when the files are in place and before the unit starts.
    type: list
    elements: dict
    default: []
    suboptions: &prepare
      command:
        description:
          - The program and its arguments. No secret belongs here - other users see them.
        type: list
        elements: str
        required: true
      stdin:
        description:
          - What it reads from its standard input, such as a password.
        type: str
        default: ''
      creates:
        description:
          - The file that it makes. It runs while that is missing. Nobody but root may write to its
            directory.
        type: path
        required: true
  endpoints:
    description:
      - The endpoints that the files configure, as P(prsnl.ports.endpoint#lookup) returns them.
        After a start the daemon has to listen on their ports.
    type: list
    elements: dict
    default: []
  state:
    description:
      - V(started) enables and runs the unit. V(configured) leaves the unit alone; something else
        brings it to its files.
    type: str
    choices: [started, configured]
    default: started
  timeout:
    description:
      - How long a started daemon may take until it listens, in seconds.
    type: int
    default: 60
  daemons:
    description:
      - Several daemons instead of one, with the same options. They are looked at and configured in
        one remote execution, in their order. One that fails leaves those before it as they are.
    type: list
    elements: dict
    default: []
    suboptions:
      unit:
        description:
          - As O(unit).
        type: str
      packages:
        description:
          - As O(packages).
        type: list
        elements: str
        default: []
      version:
        description:
          - As O(version).
        type: str
        default: ''
      source:
        description:
          - As O(source).
        type: dict
        suboptions: *source
      downloads:
        description:
          - As O(downloads).
        type: list
        elements: dict
        default: []
        suboptions: *downloads
      user:
        description:
          - As O(user).
        type: str
      service_options:
        description:
          - As O(service_options).
        type: dict
        default: {}
        aliases: [options]
      confinement:
        description:
          - As O(confinement).
        type: bool
        default: true
      files:
        description:
          - As O(files).
        type: list
        elements: dict
        default: []
        suboptions: *files
      prepare:
        description:
          - As O(prepare).
        type: list
        elements: dict
        default: []
        suboptions: *prepare
      endpoints:
        description:
          - As O(endpoints).
        type: list
        elements: dict
        default: []
      state:
        description:
          - As O(state).
        type: str
        choices: [started, configured]
        default: started
      timeout:
        description:
          - As O(timeout).
        type: int
        default: 60
  step:
    description:
      - Which part of the work is done. The action of this module sets it.
      - V(all) looks for what is missing, and does the rest if nothing is; else it gets the host
        ready to install that. V(fresh) goes on when that is installed, V(settle) when it turned out
        to be there. V(abandon) leaves the host as it was, because it could not be installed.
    type: str
    choices: [all, fresh, settle, abandon]
    default: all
attributes:
  check_mode:
    details:
      - New files are checked by their programs in check mode as well, if they are installed.
  diff_mode:
    support: full
    details:
      - The content of secret files isn't shown.
  platform:
    platforms: linux, macos
    support: partial
    details:
      - Systems with systemd and APT, and Macs with Apple Silicon and Homebrew.
requirements:
  - systemd
  - python3-apt on the host, to install packages
  - python3-debian on the host, to add a source of packages; it is installed where it is missing
  - the collection community.general on the controller, to install packages on a Mac
author:
  - PRSNL Ports contributors (@prsnl)
seealso:
  - module: prsnl.ports.port_verify
"""

EXAMPLES = r"""
- name: Run the shop
  prsnl.ports.daemon:
    unit: shop.service
    packages: [shop]
    endpoints: "{{ query('prsnl.ports.endpoint', 'shop.http') }}"
    service_options:
      ReadWritePaths: /var/lib/shop
    files:
      - path: /etc/shop/shop.conf
        content: "{{ lookup('ansible.builtin.template', 'shop.conf.j2') }}"
        validate: shop --check-config %s
        applied_by: reload
      - path: /etc/shop/password
        secret: "{{ shop_password }}"
        mode: '0640'
        group: shop
  become: true

- name: Run a service as its vendor made it, and its exporter confined
  prsnl.ports.daemon:
    daemons:
      - unit: shop.service
        packages: [shop]
        confinement: false
      - unit: shop-exporter.service
        packages: [shop-exporter]
  become: true
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode.
  returned: without O(daemons)
  type: list
  elements: str
  sample: [write /etc/shop/shop.conf, reload]
missing:
  description: What was not there.
  returned: without O(daemons)
  type: dict
  contains:
    packages:
      description: Names of packages.
      type: list
      elements: str
    source:
      description: V(absent) if there was no such source of packages, V(other) if it differed.
      type: str
    downloads:
      description: Addresses of downloads.
      type: list
      elements: str
    user:
      description: Whether the user was missing.
      type: bool
changed_files:
  description: The files that were written, or would be.
  returned: without O(daemons)
  type: list
  elements: str
  sample: [/etc/shop/shop.conf]
recovered:
  description: What became of changes of this host that were cut off before.
  returned: when there was one
  type: list
  elements: str
  sample:
    - "shop.service: its files and its state: what ada@laptop, task 'Run the shop' began at
      2026-11-26 09:14:03 was cut off, and is completed"
daemons:
  description:
    - The same for each of O(daemons), with its C(unit). Where the task fails, those before the one
      that failed.
  returned: with O(daemons)
  type: list
  elements: dict
"""

import functools
import os
import sys
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.backends import DaemonError
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.change import Setting, undo_name
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.homebrew import Homebrew
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.installers import Apt
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.launchd import Launchd
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.systemd import Systemd
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.work import Tools, perform
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import (
    LEASE,
    LOCK_ARGUMENT,
    LockedError,
    LostLeaseError,
    changer_of,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import (
    Runner,
    module_runner,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import UndoError, changing

DAEMON: dict[str, t.Any] = {
    "unit": {"type": "str"},
    "packages": {"type": "list", "elements": "str", "default": []},
    "version": {"type": "str", "default": ""},
    "source": {
        "type": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "suite": {"type": "str", "required": True},
            "components": {"type": "list", "elements": "str", "default": ["main"]},
            "key_url": {"type": "str", "required": True, "no_log": False},
            "key_fingerprints": {
                "type": "list",
                "elements": "str",
                "default": [],
                "no_log": False,
            },
            "key_checksum": {"type": "str", "default": "", "no_log": False},
        },
    },
    "downloads": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "url": {"type": "str", "required": True},
            "checksum": {"type": "str", "required": True},
            "path": {"type": "path"},
            "kind": {"type": "str", "choices": ["file", "archive", "deb"], "default": "file"},
        },
        "required_if": [("kind", "file", ["path"]), ("kind", "archive", ["path"])],
    },
    "user": {"type": "str"},
    "service_options": {"type": "dict", "default": {}, "aliases": ["options"]},
    "confinement": {"type": "bool", "default": True},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "content": {"type": "str"},
            "secret": {"type": "str", "no_log": True},
            "mode": {"type": "str", "default": "0644"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "validate": {"type": "str", "default": ""},
            "applied_by": {
                "type": "str",
                "choices": ["restart", "reload", "none"],
                "default": "restart",
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        "mutually_exclusive": [("content", "secret")],
        "required_if": [("state", "present", ("content", "secret"), True)],
    },
    "prepare": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "command": {"type": "list", "elements": "str", "required": True},
            "stdin": {"type": "str", "default": "", "no_log": True},
            "creates": {"type": "path", "required": True},
        },
    },
    "endpoints": {"type": "list", "elements": "dict", "default": []},
    "state": {"type": "str", "choices": ["started", "configured"], "default": "started"},
    "timeout": {"type": "int", "default": 60},
}
ARGUMENTS: dict[str, t.Any] = {
    **DAEMON,
    "daemons": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": DAEMON,
        "required_one_of": [("unit", "packages")],
    },
    "step": {"type": "str", "choices": ["all", "fresh", "settle", "abandon"], "default": "all"},
    "lock": LOCK_ARGUMENT,
    "lock_timeout": {"type": "int", "default": 120},
}
NEEDS_UNIT = ("files", "service_options", "prepare", "endpoints")


class QuietModule(AnsibleModule):  # type: ignore[misc]
    """Keeps the files out of the host's journal: there, quoting would hide secrets from no_log."""

    def log(self, msg: str, log_args: t.Optional[t.Mapping[str, t.Any]] = None) -> None:
        """Log the units only."""
        del msg, log_args
        super().log(f"Invoked with {', '.join(map(_name, wanted_daemons(self.params)))}")


def wanted_daemons(params: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return the daemons that the task is about, each with all of its options."""
    return params["daemons"] or [{name: params[name] for name in DAEMON}]


def _name(daemon: t.Mapping[str, t.Any]) -> str:
    return daemon["unit"] or ", ".join(daemon["packages"] or ["programs"])


def make_runner(module: AnsibleModule) -> Runner:
    """Return what starts programs. In check mode, those that are to be installed say nothing."""
    start = module_runner(module)

    def run(command: t.Sequence[str], stdin: t.Optional[str] = None) -> tuple[int, str, str]:
        if module.get_bin_path(command[0]) is None:
            return (0, "", "") if module.check_mode else (127, "", f"{command[0]} isn't installed")
        return start(command, stdin)

    return run


def selinux_label(module: AnsibleModule, path: str) -> t.Optional[str]:
    """Return the label that the policy has for a new file."""
    if not module.selinux_enabled():
        return None
    context = module.selinux_default_context(path)
    return ":".join(context) if context and None not in context else None


def refuse(params: t.Mapping[str, t.Any]) -> None:
    """Refuse options that don't go together.

    :raises DaemonError: they don't.
    """
    mixed = [name for name in DAEMON if params["daemons"] and params[name] != default_of(name)]
    if mixed:
        raise DaemonError(f"{', '.join(mixed)}: with daemons, these belong to each of them")
    for daemon in wanted_daemons(params):
        needless = [name for name in NEEDS_UNIT if daemon[name]]
        if needless and not daemon["unit"]:
            raise DaemonError(f"{', '.join(needless)}: this needs the unit")
        source = daemon["source"]
        if source and not (source["key_fingerprints"] or source["key_checksum"]):
            raise DaemonError("source: one of key_fingerprints and key_checksum is required")
        if not (daemon["unit"] or daemon["packages"]):
            raise DaemonError("one of the following is required: unit, packages")


def default_of(name: str) -> t.Any:
    """Return what an option of a daemon is if it isn't given."""
    return DAEMON[name].get("default")


def do_all(module: AnsibleModule, tools: Tools, results: list[dict[str, t.Any]]) -> None:
    """Do the step for each daemon until one has to be installed first; add to the results."""
    for daemon in wanted_daemons(module.params):
        result = perform(daemon, tools, step=module.params["step"], is_check=module.check_mode)
        results.append({"unit": _name(daemon), **result})
        if "staged" in result:
            break


def merge(
    results: t.Sequence[t.Mapping[str, t.Any]], recovered: t.Sequence[str], *, several: bool
) -> dict[str, t.Any]:
    """Return the result of the module by those of its daemons."""
    told = [*recovered, *(text for result in results for text in result.get("recovered", ()))]
    merged: dict[str, t.Any] = {"changed": any(result["changed"] for result in results)}
    if several:
        merged["daemons"] = [dict(result) for result in results]
    elif results:
        merged.update(results[0])
        del merged["unit"]
    return {**merged, **({"recovered": told} if told else {})}


def main() -> None:
    module = QuietModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    lock = params["lock"]
    run = make_runner(module)
    changer = changer_of(lock)
    several = bool(params["daemons"])
    # Instead of all parameters, which -vvv would show.
    units = ", ".join(map(_name, wanted_daemons(params)))
    recovered: list[str] = []
    results: list[dict[str, t.Any]] = []

    def tools(token: str) -> Tools:
        label = functools.partial(selinux_label, module)
        setting = Setting(changer=changer, token=token, label=label)
        if sys.platform == "darwin":
            return Tools(run, Launchd(run), Homebrew(), setting)
        return Tools(run, Systemd(run), Apt(run), setting)

    def result() -> dict[str, t.Any]:
        merged = merge(results, recovered, several=several)
        return {**merged, "invocation": {"module_args": {"unit": units}}}

    def fail(error: Exception, **more: t.Any) -> t.NoReturn:
        message = f"{os.uname().nodename}: {error}"
        module.fail_json(**{**result(), "msg": message, "changed": False, **more})
        raise AssertionError("fail_json does not return")

    try:
        refuse(params)
        if module.check_mode:
            do_all(module, tools(""), results)
            module.exit_json(**result())
        adopts = {undo_name(daemon["unit"]) for daemon in wanted_daemons(params) if daemon["unit"]}
        with changing(
            changer,
            run,
            token=lock["token"],
            wait=lock["wait"],
            instead_of=lock["instead_of"],
            adopts=adopts,
        ) as changes:
            recovered += changes.recovered
            do_all(module, tools(changes.token), results)
            done = result()
            done["changed"] = done["changed"] or changes.has_recovered
            if results and "staged" in results[-1]:
                # The action installs what is missing, and comes back.
                done["token"] = changes.lend(LEASE)
    except LockedError as error:
        fail(error, **error.result)
    except (OSError, DaemonError, LostLeaseError, UndoError) as error:
        fail(error)
    module.exit_json(**done)


if __name__ == "__main__":
    main()
