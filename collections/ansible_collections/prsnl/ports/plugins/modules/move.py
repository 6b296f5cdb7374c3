#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: move
short_description: Keep the journal of a move of several steps on the host that moves
version_added: 0.2.0
description:
  - Remembers which steps of a move were begun and which were verified, and what the move found
    before it began, so that a run that was killed can be gone on with, or be taken back.
  - It does no step. The role P(prsnl.ports.move#role) does, and asks this module.
  - The journal is C(/var/lib/prsnl-ports/moves/<name>.json) (C(/var/db) on macOS), which only root
    can read. It stays when the move is over, as its history.
  - A move on which somebody else works is refused. A run of the same controller that has died isn't
    somebody else.
extends_documentation_fragment:
  - prsnl.ports.attributes
  - prsnl.ports.lock
options:
  name:
    description: What is moved, such as V(port-postgresql.sql).
    type: str
    required: true
  state:
    description:
      - V(read) only looks.
      - V(opened) begins the move, or goes on with one of the same O(target).
      - V(begun), O(step) may change something from now on.
      - V(done), O(step) was verified.
      - V(turned), the move is being taken back from now on.
      - V(undone), O(step) was taken back.
      - V(closed), the move is over, because all its steps are done or all were taken back.
    type: str
    choices: [read, opened, begun, done, turned, undone, closed]
    default: read
  step:
    description: The step.
    type: str
  steps:
    description: All steps in their order, for O(state=opened).
    type: list
    elements: str
    default: []
  target:
    description:
      - Where the move leads, such as V(5433/tcp). While a move isn't over, none of the same name to
        another target begins.
    type: str
    default: ''
  about:
    description:
      - What steps have to know of the time before the move, for O(state=opened). While the move
        isn't over, what the first run gave is kept and returned. No secrets.
    type: dict
    default: {}
  summary:
    description: What the history says of the move, for O(state=closed).
    type: str
    default: ''
  take_over:
    description:
      - Whether to go on with the move of another controller, which is known to be dead.
    type: bool
    default: false
attributes:
  check_mode:
    details:
      - It tells what the journal would be.
  diff_mode:
    support: none
  platform:
    platforms: linux, macos
    details:
      - The macOS part has not run on a Mac yet.
notes:
  - One remote execution.
requirements:
  - python >= 3.8 on the host, its standard library only
author:
  - PRSNL Ports contributors (@prsnl)
seealso:
  - module: prsnl.ports.endpoint_port_info
"""

EXAMPLES = r"""
- name: Look how far the move is
  prsnl.ports.move:
    name: port-shop.http
  become: true
  register: journal

- name: Begin, or go on
  prsnl.ports.move:
    name: port-shop.http
    state: opened
    target: 20081/tcp
    steps: [open, switch, close]
    about: {old: 20080}
  become: true
"""

RETURN = r"""
journal:
  description: What the journal says now.
  returned: success
  type: dict
  contains:
    state:
      description: V(idle), V(forward) or V(back), which is a move that is being taken back.
      type: str
    target:
      description: Where the move leads, or the last one did.
      type: str
    about:
      description: What the first run of this move gave.
      type: dict
    steps:
      description: The steps.
      type: list
      elements: str
    begun:
      description: The steps that may have changed something.
      type: list
      elements: str
    done:
      description: The steps that were verified.
      type: list
      elements: str
    undo:
      description: The steps to take back, the latest first.
      type: list
      elements: str
    began:
      description: When it began, in UTC.
      type: str
    history:
      description: The moves that are over, the latest last.
      type: list
      elements: dict
      contains:
        target:
          description: Where it led.
          type: str
        outcome:
          description: V(moved) or V(taken back).
          type: str
        began:
          description: When it began, in UTC.
          type: str
        ended:
          description: When it ended, in UTC.
          type: str
        summary:
          description: What it was.
          type: str
recovered:
  description: What became of changes of this host that were cut off before.
  returned: when there was one
  type: list
  elements: str
"""

import contextlib
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.host.lock import (
    LOCK_ARGUMENT,
    LockedError,
    LostLeaseError,
    changer_of,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import module_runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.undo import UndoError, changing
from ansible_collections.prsnl.ports.plugins.module_utils.moves.journal import (
    Journal,
    MoveError,
    read_journal,
    write_journal,
)


class BusyError(MoveError):
    """Another run works on the move; ``runner`` says which one."""

    def __init__(self, runner: t.Mapping[str, t.Any], text: str) -> None:
        self.runner = runner
        super().__init__(text)


STATES = ("read", "opened", "begun", "done", "turned", "undone", "closed")


def step_of(journal: Journal, params: t.Mapping[str, t.Any]) -> Journal:
    """Return the journal as the parameters want it.

    :raises MoveError: they don't fit what it says.
    """
    state, step = params["state"], params["step"]
    if state == "opened":
        return journal.opened(params["target"], params["about"], params["steps"])
    if state == "turned":
        return journal.turn_back()
    if state == "closed":
        return journal.close(params["summary"])
    return {"begun": journal.begin, "done": journal.finish, "undone": journal.forget}[state](step)


def work(params: t.Mapping[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Change the journal, and return the module's result.

    :raises MoveError: the parameters don't fit what it says.
    :raises OSError: it can't be read or written.
    """
    before = read_journal(params["name"])
    if params["state"] == "read":
        return {"changed": False, "journal": before.as_dict()}
    runner = {key: params["lock"].get(key) for key in ("controller", "user", "pid", "place")}
    if params["state"] in ("opened", "turned"):
        refuse_others(before, runner, params)
    after = step_of(before, params).by(runner)
    if after != before and not check_mode:
        write_journal(after)
    return {"changed": after != before, "journal": after.as_dict()}


def refuse_others(
    journal: Journal, runner: t.Mapping[str, t.Any], params: t.Mapping[str, t.Any]
) -> None:
    """Refuse to work on what another run works on.

    :raises BusyError: one does, or has died; its controller can tell.
    """
    other = dict(journal.runner)
    if journal.state == "idle" or other in ({}, dict(runner)) or params["take_over"]:
        return
    raise BusyError(
        other,
        f"{other['user'] or 'somebody'}@{other['controller']} (pid {other['pid']} there) works on"
        f" the move of {journal.name} to {journal.target}, begun {journal.began}; {journal.told}."
        " Nothing was changed by this run. Wait for that one. If it is dead, and ran elsewhere, go"
        " on with -e move_take_over=true.",
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": list(STATES), "default": "read"},
            "step": {"type": "str"},
            "steps": {"type": "list", "elements": "str", "default": []},
            "target": {"type": "str", "default": ""},
            "about": {"type": "dict", "default": {}},
            "summary": {"type": "str", "default": ""},
            "take_over": {"type": "bool", "default": False},
            "lock": LOCK_ARGUMENT,
            "lock_timeout": {"type": "int", "default": 120},
        },
        required_if=[
            ("state", "opened", ["target", "steps"]),
            *(("state", state, ["step"]) for state in ("begun", "done", "undone")),
        ],
        supports_check_mode=True,
    )
    params, lock = module.params, module.params["lock"]
    is_change = params["state"] != "read" and not module.check_mode
    try:
        with contextlib.ExitStack() as stack:
            changes = None
            if is_change:
                changes = stack.enter_context(
                    changing(
                        changer_of(lock),
                        module_runner(module),
                        token=lock["token"],
                        wait=lock["wait"],
                        instead_of=lock["instead_of"],
                    )
                )
            result = work(params, module.check_mode)
            if changes and changes.recovered:
                result["recovered"] = changes.recovered
                result["changed"] = True
    except LockedError as error:
        module.fail_json(msg=str(error), **error.result)
    except BusyError as error:
        module.fail_json(msg=str(error), worked_by=dict(error.runner))
    except (LostLeaseError, MoveError, UndoError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
