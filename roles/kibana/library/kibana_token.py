#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kibana_token
short_description: Have a token of the service account elastic/kibana that Elasticsearch accepts
version_added: 0.4.0
description:
  - Asks Elasticsearch whether it knows the token, and for another one if it doesn't, as after it
    was built anew. Whoever keeps the token has to keep what is returned.
  - A token of the API is known to all nodes of a cluster. One of the same name gives way to it.
  - Elasticsearch is waited for. In check mode it is asked once, and no token is made.
options:
  urls:
    description:
      - The addresses of nodes. The first one that answers counts.
    type: list
    elements: str
    required: true
  authority:
    description:
      - The text of the certificates that those of the nodes are signed by, in PEM format.
    type: str
    required: true
  password:
    description:
      - The password of the user C(elastic).
    type: str
    required: true
  name:
    description:
      - The name of the token.
    type: str
    required: true
  token:
    description:
      - The token that there is, or an empty text.
    type: str
    default: ''
  version:
    description:
      - The version of Kibana. All nodes are waited for to be that new, as while they are upgraded.
    type: str
    default: ''
  timeout:
    description:
      - How long to wait for Elasticsearch, in seconds.
    type: int
    default: 600
attributes:
  check_mode:
    description: Can run in check mode without changing anything.
    support: full
  diff_mode:
    description: Shows what it changes, with --diff.
    support: none
author:
  - PRSNL Ports contributors (@prsnl)
"""

EXAMPLES = r"""
- name: Have a token
  kibana_token:
    urls: [https://search.example.com:1234]
    authority: "{{ lookup('prsnl.ports.secret', 'authority', kind='pem', create=false) }}"
    password: "{{ lookup('prsnl.ports.secret', 'elasticsearch-elastic') }}"
    name: shop
  register: asked
  no_log: true
"""

RETURN = r"""
token:
  description: The token that Elasticsearch accepts; in check mode the given one.
  returned: success
  type: str
"""

import http
import json
import re
import time
import typing as t
import urllib.parse

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.prsnl.ports.plugins.module_utils.host.rest import Answer, Servers

USER = "elastic"
ACCOUNT = "/_security/service/elastic/kibana/credential/token"
AUTHENTICATE = "/_security/_authenticate"
# Seconds between two questions.
PAUSE = 3.0
# How often a password is tried: a node that has just started may not know its users yet.
TRIES = 5
REMEDY = (
    " Put the right one into its file on the controller (or elasticsearch_password), or let"
    " Elasticsearch have that one: elasticsearch-reset-password -u elastic -i, on one of its hosts"
)


class TokenError(Exception):
    """There is no token, as the operator is to read it."""


class Elasticsearch(Servers):
    """The nodes of a cluster."""

    def __init__(self, urls: t.Sequence[str], authority: str, password: str) -> None:
        super().__init__(urls, authority, USER, password)

    def knows(self, token: str) -> Answer:
        """Return the answer to who comes with this token."""
        return self.ask(AUTHENTICATE, authorization=f"Bearer {token}")

    def make(self, name: str) -> str:
        """Return a new token.

        :raises TokenError: Elasticsearch makes none.
        """
        path = f"{ACCOUNT}/{urllib.parse.quote(name)}"
        # One whose text is lost is of no use to anybody.
        self.ask(path, "DELETE")
        answer = self.ask(path, "POST")
        try:
            token = str(json.loads(answer.text)["token"]["value"])
        except (KeyError, TypeError, ValueError):
            token = ""
        if answer.status != http.HTTPStatus.OK or not token.strip():
            raise TokenError(f"Elasticsearch made no token {name}: {answer.text[:200]}")
        return token


def have(
    nodes: Elasticsearch, token: str, name: str, timeout: float, pause: t.Callable[[float], None]
) -> str:
    """Return a token that is accepted: the given one, or else a new one.

    :param timeout: seconds until Elasticsearch has to answer.
    :param pause: waits so many seconds.
    :raises TokenError: Elasticsearch doesn't answer, or doesn't accept the password.
    """
    end = time.monotonic() + timeout
    tries = 0
    while True:
        answer = nodes.knows(token) if token else Answer(401, "")
        if answer.status == http.HTTPStatus.OK:
            return token
        if answer.status in (401, 403):
            answer = nodes.ask(AUTHENTICATE)
            if answer.status == http.HTTPStatus.OK:
                return nodes.make(name)
            tries += answer.status in (401, 403)
        if tries >= TRIES:
            raise TokenError(
                f"Elasticsearch ({answer.text}) accepts neither the token nor the password of"
                f" {USER}.{REMEDY}"
            )
        if time.monotonic() > end:
            raise TokenError(
                f"Elasticsearch was waited for {timeout:g} s: {answer.text}. Provision it first"
            )
        pause(PAUSE)


def number(version: str) -> tuple[int, ...]:
    """Return the version without what a package adds to it; nothing if it is none."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def wait_for_version(
    nodes: Elasticsearch, version: str, timeout: float, pause: t.Callable[[float], None]
) -> None:
    """Wait until no node is older than this version of Kibana, which would not start.

    :param timeout: seconds.
    :raises TokenError: one still is.
    """
    end = time.monotonic() + timeout
    while True:
        answer = nodes.ask("/_nodes/http")
        found = answer.content.get("nodes", {}).values()
        old = sorted(
            f"{node['name']} ({node['version']})"
            for node in found
            if number(node["version"]) < number(version)
        )
        if found and not old:
            return
        if time.monotonic() > end:
            told = f"nodes that are older than it: {', '.join(old)}" if old else answer.text
            raise TokenError(
                f"Kibana {version} was not installed, because Elasticsearch has {told}. Upgrade"
                " Elasticsearch first: elasticsearch_version is the version of both"
            )
        pause(PAUSE)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "urls": {"type": "list", "elements": "str", "required": True},
            "authority": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "name": {"type": "str", "required": True},
            "token": {"type": "str", "default": "", "no_log": True},
            "version": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        nodes = Elasticsearch(params["urls"], params["authority"], params["password"])
        if module.check_mode:
            is_known = params["token"] and nodes.knows(params["token"]).status == http.HTTPStatus.OK
            module.exit_json(changed=not is_known, token=params["token"])
        end = time.monotonic() + params["timeout"]
        token = have(nodes, params["token"], params["name"], params["timeout"], time.sleep)
        wait_for_version(nodes, params["version"], end - time.monotonic(), time.sleep)
    except (OSError, ValueError) as error:
        # In check mode, the authority may be still to be made.
        if module.check_mode:
            module.exit_json(changed=True, token=params["token"])
        module.fail_json(msg=f"The authority can't be used: {error}")
    except TokenError as error:
        module.fail_json(msg=str(error))
    # Ansible takes the given token out of this again; it is there already.
    module.exit_json(changed=token != params["token"], token=token)


if __name__ == "__main__":
    main()
