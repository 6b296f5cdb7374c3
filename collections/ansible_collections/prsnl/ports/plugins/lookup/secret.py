# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: A secret of the site by its name, made once
version_added: 0.2.0
description:
  - Gives the secret of a name. Where there is none yet, it is made at random and kept in a file of
    its own on the controller, with mode 0600. Whoever asks by that name gets the same one - the
    role of a server as well as those of its clients.
  - A file appears whole or not at all, also on a full disk, and of several hosts that ask at the
    same time all get the first one's secret.
  - A file that is empty, can't be read, can be read by others, or has no text of one line is an
    error. It never means that there is no password.
  - Check mode makes nothing. There a text in parentheses, which says so, stands for a secret that
    isn't there yet.
options:
  _terms:
    description:
      - Names of secrets, such as V(postgresql-shop).
    type: list
    elements: str
    required: true
  kind:
    description:
      - What it is, which is the ending of the file's name, such as V(password), V(key), V(token) or
        V(pem).
    type: str
    default: password
  directory:
    description:
      - The folder on the controller. A relative one starts at the folder of the playbook.
      - If it is empty or not set, it is the variable C(secrets_dir), else C(.secrets) in the folder
        of the inventory.
    type: str
  length:
    description:
      - How many characters a new secret gets.
    type: int
    default: 32
  characters:
    description:
      - What a new secret is made of - characters, or the names V(ascii_letters),
        V(ascii_lowercase), V(ascii_uppercase), V(digits), V(hexdigits), V(octdigits) and
        V(punctuation).
    type: list
    elements: str
    default: [ascii_letters, digits]
  create:
    description:
      - Whether it is made where it is missing. V(false) is for what something else makes, such as
        certificates. These may have several lines.
    type: bool
    default: true
  public:
    description:
      - Whether others may read it, as they may a certificate.
    type: bool
    default: false
  path:
    description:
      - Whether to give the path of the file instead of its text, for who makes it or waits for it.
        Then nothing is read or made.
    type: bool
    default: false
notes:
  - A task that prints its arguments or its items needs C(no_log), as with any secret.
author:
  - PRSNL Ports contributors (@prsnl)
seealso:
  - plugin: ansible.builtin.password
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Let the database know the shop's password
  community.postgresql.postgresql_user:
    name: shop
    password: "{{ lookup('prsnl.ports.secret', 'postgresql-shop') }}"
  no_log: true

- name: Let the shop know it too
  prsnl.ports.daemon:
    unit: shop.service
    files:
      - path: /etc/shop/password
        secret: "{{ lookup('prsnl.ports.secret', 'postgresql-shop') }}"
        mode: '0600'

- name: Wait for a token that something else makes
  ansible.builtin.wait_for:
    path: "{{ lookup('prsnl.ports.secret', 'shop', kind='token', path=true) }}"
  delegate_to: localhost
"""

RETURN = r"""
_raw:
  description: For each name the secret without white space at its end, or with O(path) its file.
  type: list
  elements: str
"""

import pathlib
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

try:
    # The only way to what a task says about check mode; without it the command line counts.
    from ansible._internal._task import TaskContext
except ImportError:
    TaskContext = None
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import secrets

DEFAULT_FOLDER: t.Final = ".secrets"


class LookupModule(LookupBase):  # type: ignore[misc]
    """Answers from the folder of secrets."""

    def run(
        self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any
    ) -> list[str]:
        """The secrets of the names, or the paths of their files."""
        variables = variables or {}
        self.set_options(var_options=variables, direct=kwargs)
        try:
            folder = self._folder(variables)
            kind = self.get_option("kind")
            paths = [secrets.secret_path(folder, str(term), kind) for term in terms]
            if self.get_option("path"):
                return [str(path) for path in paths]
            return [self._secret(path, variables) for path in paths]
        except secrets.SecretError as error:
            raise AnsibleError(str(error)) from None

    def _folder(self, variables: dict[str, t.Any]) -> pathlib.Path:
        folder = self.get_option("directory") or self._templar.template(
            variables.get("secrets_dir", "")
        )
        if not folder:
            inventory = variables.get("inventory_dir")
            if not inventory:
                raise AnsibleError(
                    "secrets_dir isn't set, and the inventory has no folder. Set secrets_dir to the"
                    " folder on the controller that keeps the secrets"
                )
            folder = f"{inventory}/{DEFAULT_FOLDER}"
        return pathlib.Path(self._loader.path_dwim(str(folder)))

    def _secret(self, path: pathlib.Path, variables: dict[str, t.Any]) -> str:
        create = self.get_option("create")
        lines = not create
        text = secrets.read(path, public=self.get_option("public"), lines=lines)
        if text is not None:
            return text
        if variables.get("ansible_check_mode") or _task_checks():
            return self._placeholder(path)
        if not create:
            raise AnsibleError(f"{path} isn't there yet. Run first what makes it")
        characters = secrets.alphabet(self.get_option("characters"))
        return secrets.make(path, self.get_option("length"), characters)

    def _placeholder(self, path: pathlib.Path) -> str:
        if _task_checks() is False:
            raise AnsibleError(
                f"{path} isn't there yet, check mode makes none, and this task changes something in"
                " check mode too. Run it without check mode first"
            )
        return secrets.placeholder(path)


def _task_checks() -> bool | None:
    """Whether the current task runs in check mode; None where that isn't known."""
    context = TaskContext.current(optional=True) if TaskContext else None
    checks = context.task.check_mode if context else None
    return checks if isinstance(checks, bool) else None
