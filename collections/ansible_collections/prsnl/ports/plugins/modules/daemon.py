#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon
short_description: Install, configure, confine and run a daemon, in one remote execution
version_added: 0.2.0
description:
  - Brings the packages, all files and the systemd unit of one daemon to the wanted state.
  - Where nothing has to change, that is a single remote execution. What is missing is installed by
    the modules of ansible.builtin - packages with their source (M(ansible.builtin.apt),
    M(ansible.builtin.deb822_repository)), downloads (M(ansible.builtin.get_url),
    M(ansible.builtin.unarchive)) and the user (M(ansible.builtin.user)).
  - A package doesn't get to start its daemon where its own defaults say.
  - Each new file is checked by its own program before it replaces the former one, when the files
    listed before it are in place. The unit restarts or reloads only if something that it reads has
    changed, and then has to listen on its endpoints. If a file is refused or the unit does not
    listen, all former files come back, the unit runs with them again if it ran before, and the
    error has the end of its journal.
  - A manifest below C(/var/lib/prsnl-ports) remembers what was rendered for which endpoints, and
    whether the daemon has read it. A run that was cut off before the restart is made good by the
    next one, and M(prsnl.ports.port_verify) finds files that were edited by hand.
extends_documentation_fragment:
  - prsnl.ports.attributes
options:
  unit:
    description:
      - The name of the systemd unit, such as V(nginx.service).
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
    suboptions:
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
      key_checksum:
        description:
          - The SHA-256 of the key, as C(sha256:<hexadecimal digits>).
        type: str
        required: true
  downloads:
    description:
      - What is downloaded by the host, and has to match its checksum.
    type: list
    elements: dict
    default: []
    suboptions:
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
            For V(deb) this isn't used.
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
  options:
    description:
      - Options of the unit's C([Service]) section, on top of those that confine it. They are
        written to C(hardening.conf) in the drop-in directory of the unit.
      - A list is written with blanks between its elements. An option of the same name replaces the
        one that is there by default.
    type: dict
    default: {}
  files:
    description:
      - The files that the daemon reads, in the order in which they are written. Missing directories
        are made.
    type: list
    elements: dict
    default: []
    suboptions:
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
            O(files[].content).
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
  prepare:
    description:
      - Programs that run once, when the files are in place and before the unit starts.
    type: list
    elements: dict
    default: []
    suboptions:
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
          - The file that it makes. It runs while that is missing.
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
  step:
    description:
      - Which part of the work is done. The action of this module sets it.
      - V(all) looks for what is missing, and does the rest if nothing is. V(prepare) only writes
        O(source) and makes the folders of O(downloads). V(fresh) is V(all) for a unit that has to
        start anew, because its packages and archives were installed just now.
    type: str
    choices: [all, prepare, fresh]
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
    platforms: linux
    support: partial
    details:
      - Systems with systemd and APT.
requirements:
  - python >= 3.9 on the host, its standard library only
  - systemd
  - python3-apt on the host, to install packages
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
    options:
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
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [write /etc/shop/shop.conf, reload]
missing:
  description: What was not there.
  returned: always
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
  returned: always
  type: list
  elements: str
  sample: [/etc/shop/shop.conf]
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.change import (
    Daemon,
    DaemonError,
    DaemonFile,
    Request,
    Step,
    drop_in,
    find_ids,
    installations,
    mark_archives,
    missing_parts,
    prepare_installation,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import Content

HEADER = "# Written by Ansible. Changes made here are lost."


class QuietModule(AnsibleModule):  # type: ignore[misc]
    """Keeps the files out of the host's journal: there, quoting would hide secrets from no_log."""

    def _log_invocation(self) -> None:
        self.log(f"Invoked with unit={self.params['unit']}")


def read_request(params: t.Mapping[str, t.Any], is_check: bool) -> Request:
    """Return what the task asks for.

    :raises DaemonError: an option isn't possible on this host.
    """
    files = [drop_in(params["unit"], params["options"], HEADER)] if params["options"] else []
    for entry in params["files"]:
        path = entry["path"]
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
        files.append(
            DaemonFile(
                path=path,
                wanted=Content(text.encode(), mode, *ids),
                applied_by=entry["applied_by"],
                validate=entry["validate"],
                is_secret=is_secret,
            )
        )
    return Request(
        unit=params["unit"],
        files=tuple(files),
        endpoints=tuple(params["endpoints"]),
        prepare=tuple(
            Step(tuple(step["command"]), step["creates"], step["stdin"])
            for step in params["prepare"]
        ),
        is_managed=params["state"] == "started",
        is_fresh=params["step"] == "fresh",
        timeout=params["timeout"],
    )


def main() -> None:
    module = QuietModule(
        argument_spec={
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
                    "key_checksum": {"type": "str", "required": True, "no_log": False},
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
                    "kind": {
                        "type": "str",
                        "choices": ["file", "archive", "deb"],
                        "default": "file",
                    },
                },
                "required_if": [("kind", "file", ["path"]), ("kind", "archive", ["path"])],
            },
            "user": {"type": "str"},
            "options": {"type": "dict", "default": {}},
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
                },
                "mutually_exclusive": [("content", "secret")],
                "required_one_of": [("content", "secret")],
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
            "step": {"type": "str", "choices": ["all", "prepare", "fresh"], "default": "all"},
        },
        required_one_of=[("unit", "packages")],
        supports_check_mode=True,
    )
    params = module.params
    # Their defaults keep required_by from doing this.
    needless = [name for name in ("files", "options", "prepare", "endpoints") if params[name]]
    if needless and not params["unit"]:
        module.fail_json(msg=f"{', '.join(needless)}: this needs the unit")
    # Instead of all parameters, which -vvv would show.
    invocation = {"module_args": {"unit": params["unit"]}}

    def run(command: t.Sequence[str], stdin: t.Optional[str] = None) -> tuple[int, str, str]:
        if module.get_bin_path(command[0]) is None:
            if module.check_mode:
                return 0, "", ""
            raise DaemonError(f"{command[0]} isn't installed")
        code, out, err = module.run_command(list(command), data=stdin)
        return code, out, err

    try:
        if params["step"] == "prepare":
            prepare_installation(params)
            module.exit_json(changed=True, invocation=invocation)
        if params["step"] == "fresh":
            mark_archives(params["downloads"])
        missing = missing_parts(params, run)
        is_missing = any(missing.values())
        if not params["unit"] and (not is_missing or module.check_mode):
            module.exit_json(
                changed=is_missing,
                missing=missing,
                actions=installations(missing),
                changed_files=[],
                invocation=invocation,
            )
        if is_missing and not module.check_mode:
            # The action installs them, and comes back.
            module.exit_json(
                changed=False, missing=missing, actions=[], changed_files=[], invocation=invocation
            )
        daemon = Daemon(read_request(params, module.check_mode), run)
        changed_files = [file.path for file in daemon.changed_files]
        diff = daemon.diff()
        (daemon.preview if module.check_mode else daemon.apply)()
    except (OSError, DaemonError) as error:
        module.fail_json(
            msg=f"{os.uname().nodename}: {error}",
            invocation=invocation,
        )
    actions = daemon.actions
    if is_missing:
        # Check mode. Otherwise the action tells what it installed.
        actions = installations(missing) + actions
    module.exit_json(
        changed=bool(actions),
        actions=actions,
        missing=missing,
        changed_files=changed_files,
        diff=diff,
        invocation=invocation,
    )


if __name__ == "__main__":
    main()
