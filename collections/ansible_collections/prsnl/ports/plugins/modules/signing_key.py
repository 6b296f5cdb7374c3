#!/usr/bin/python

# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: signing_key
short_description: Fetch the key of a package repository, if it is the one that is trusted
version_added: 0.2.0
description:
  - Fetches a file of OpenPGP keys, compares the fingerprints of all keys in it with those that are
    allowed, and puts it where APT looks for it. A file that has any other key is refused, and the
    former one stays.
  - A vendor may prolong its key or sign it anew, by which the file changes and the key doesn't. So
    a fingerprint says more than a checksum.
  - The host needs no gpg.
extends_documentation_fragment:
  - prsnl.ports.attributes
options:
  url:
    description:
      - Where the file is. A scheme of C(https), C(http) or C(file).
    type: str
    required: true
  path:
    description:
      - Where it goes.
    type: path
    required: true
  fingerprints:
    description:
      - The fingerprints that are allowed, with 40 or 64 hexadecimal digits. Blanks don't matter.
    type: list
    elements: str
    required: true
  timeout:
    description:
      - How long an answer may take, in seconds.
    type: int
    default: 30
attributes:
  diff_mode:
    support: none
  platform:
    platforms: linux
requirements:
  - python >= 3.8 on the host, its standard library only
seealso:
  - module: prsnl.ports.daemon
author:
  - PRSNL Ports contributors (@prsnl)
"""

EXAMPLES = r"""
- name: Fetch the key of a repository
  prsnl.ports.signing_key:
    url: https://packages.example.com/key.asc
    path: /etc/apt/keyrings/example.asc
    fingerprints:
      - 0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567
"""

RETURN = r"""
fingerprints:
  description: Those of the keys that were found.
  returned: when the file could be read
  type: list
  elements: str
  sample: [0123456789ABCDEF0123456789ABCDEF01234567]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import fetch_url
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.openpgp import (
    KeyFileError,
    fingerprints,
    normalized,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.files import (
    Content,
    read_file,
    write_file,
)
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed

# No file of keys is as large, in bytes.
LARGEST = 1 << 20


def fetch(module: AnsibleModule) -> bytes:
    """Return the file; the module fails where it can't be had."""
    url = module.params["url"]
    response, info = fetch_url(module, url, timeout=module.params["timeout"])
    # A file of the host has no status.
    if response is None or info["status"] not in (200, None):
        module.fail_json(msg=f"{url} can't be fetched: {info['msg']}")
    content: bytes = response.read(LARGEST + 1)
    if len(content) > LARGEST:
        module.fail_json(msg=f"{url} has more than {LARGEST} bytes, which no file of keys has")
    return content


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "fingerprints": {
                "type": "list",
                "elements": "str",
                "required": True,
                "no_log": False,
            },
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    url, path = module.params["url"], module.params["path"]
    try:
        allowed = [normalized(text) for text in module.params["fingerprints"]]
    except KeyFileError as error:
        module.fail_json(msg=f"fingerprints: {error}")
    content = fetch(module)
    try:
        found = fingerprints(content)
    except KeyFileError as error:
        module.fail_json(msg=f"{url} is not trusted: {error}. Nothing has changed")
    others = [fingerprint for fingerprint in found if fingerprint not in allowed]
    if others:
        module.fail_json(
            msg=f"{url} is not trusted: found the key {listed(others)}, allowed are"
            f" {listed(allowed)}. Nothing has changed. If the vendor has a new key, compare its"
            " fingerprint with what the vendor publishes elsewhere, and add it",
            fingerprints=found,
        )
    wanted = Content(content, 0o644, 0, 0)
    try:
        changed = read_file(path) != wanted
        if changed and not module.check_mode:
            write_file(path, wanted)
    except OSError as error:
        module.fail_json(msg=f"{path} can't be written: {error}")
    module.exit_json(changed=changed, fingerprints=found)


if __name__ == "__main__":
    main()
