# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `ports`: the registry for people and hooks, without Ansible.

A command is a module of `commands`, called like the command with `_` for `-` (and one at the end
where Python has the word itself), and a line in `main.COMMANDS`. It is imported only when it is
used, so its imports cost the others nothing, and it must not import Ansible. It has two functions:

- `add(parser)` adds its arguments. An argument whose value can be completed has its kind as `dest`:
  `endpoint`, `service`, `range`, `hosts` and `environment` are looked up in the registry, `path` is
  a file.
- `run(args)` does it and returns the exit code. `args.registry` and `args.format` are always there:
  `reading.registry(args)` reads the registry, `output.answer` and `output.findings` print.

Exit codes: 0, done, or the answer is yes; 1, the answer is no, or something was found; 2, it can't
be told: wrong usage, or a registry that is missing or has faults. RegistryError and OSError become
2 and a message.
"""
