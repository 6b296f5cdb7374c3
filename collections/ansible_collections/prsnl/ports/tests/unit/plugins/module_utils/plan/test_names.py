# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of processes: cut ones, titles, threads, and versions of interpreters."""

from __future__ import annotations

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.plan.names import (
    is_named,
    names_of,
    same_name,
)
from ansible_collections.prsnl.ports.plugins.module_utils.sockets.model import Holder


@pytest.mark.parametrize(
    ("name", "known", "same"),
    [
        ("nginx", "nginx", True),
        ("nginx", "nginy", False),
        ("nginx", "Nginx", False),
        # The kernel cuts names to 15 bytes; a shorter name is not a cut one.
        ("prometheus-node-exporter", "prometheus-node", True),
        ("prometheus-node", "prometheus-node-exporter", False),
        ("prometheus", "prometheus-node", False),
        ("prometheus-node-exporter", "prometheus", False),
        ("aaaaaaaaaaaaaaaé", "aaaaaaaaaaaaaaa", True),
        # Titles, whole and cut.
        ("gunicorn", "gunicorn: master [app]", True),
        ("gunicorn", "gunicorn: maste", True),
        ("gunicorn: master [app]", "gunicorn: maste", True),
        ("gunicorn: maste", "gunicorn", True),
        ("gunicorn: master [app]", "gunicorn: worker [app]", True),
        ("gunicorn", "granian: master", False),
        ("postgres", "postgres: 16/ma", True),
        ("sshd", "sshd:", True),
        ("puma", "puma 6.4.2 (tcp", True),
        ("OrbStack Helper", "OrbStack Other", False),
        ("OrbStack", "OrbStack Helper", False),
        # Versions of interpreters, and of nothing else.
        ("python3", "python3.11", True),
        ("python3.11", "python3", True),
        ("python", "python3.11", True),
        ("python3.1", "python3.11", False),
        ("python3.10", "python3.11", False),
        ("python2", "python3.11", False),
        ("python3", "Python", True),
        ("php-fpm", "php-fpm8.2", True),
        ("php", "php-fpm8.2", False),
        ("ruby", "ruby3.1", True),
        ("node", "node_exporter", False),
        ("shop", "shop2", False),
        ("7", "7", True),
        ("7", "7.1", False),
    ],
)
def test_same_name(name: str, known: str, same: bool) -> None:
    assert same_name(name, known) is same


NODE = Holder(8, "MainThread", "/usr/bin/node", "ada", None, 0)
NGINX = Holder(8, "nginx", "/opt/nginx-1.27/sbin/nginx", "root", None, 0)
GUNICORN = Holder(8, "gunicorn: maste", "/usr/bin/python3.11", "ada", None, 0, called="gunicorn")
DELETED = Holder(8, "shop", None, "ada", None, 0)


@pytest.mark.parametrize(
    ("holder", "names"),
    [
        (NODE, ("MainThread", "node")),
        (NGINX, ("nginx",)),
        (GUNICORN, ("gunicorn: maste", "python3.11", "gunicorn")),
        (DELETED, ("shop",)),
    ],
)
def test_a_process_has_several_names(holder: Holder, names: tuple[str, ...]) -> None:
    assert names_of(holder) == names
    for name in names:
        assert is_named(holder, ["other", name])
    assert not is_named(holder, ["other"])
    assert not is_named(holder, [])
