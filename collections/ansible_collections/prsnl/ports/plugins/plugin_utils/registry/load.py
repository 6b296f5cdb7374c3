# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading a registry: read, check, keep."""

from __future__ import annotations

import gc
import itertools
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    addresses,
    rules,
    schema,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    source as yaml_source,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    MOST,
    Fault,
    RegistryError,
    report,
    shown,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Registry

# Workers are forks of the process that loaded the registry, so they find it here.
_LOADED: dict[str, Registry] = {}


def load(file: str) -> Registry:
    """The registry of a file, read once per run.

    Raises RegistryError with every fault of the file.
    """
    if file not in _LOADED:
        _LOADED[file] = read(file)
        # It stays until the end of the run, so there is no use in looking for garbage in it.
        gc.freeze()
    return _LOADED[file]


def read(file: str) -> Registry:
    """The registry of a file. Raises RegistryError with every fault of the file."""
    try:
        source = yaml_source.read(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RegistryError(
            f"{shown(file)}: the port registry can't be read: {reason}. Set path in the section"
            " [port_registry] of ansible.cfg, or PORT_REGISTRY, to where it is"
        ) from error
    return parse(source, file)


def parse(source: bytes, file: str, data: t.Any = None) -> Registry:
    """The registry of a text. Raises RegistryError with every fault of it.

    `file` is its name in messages, `data` what the text says, where its form has no faults.
    """
    if addresses.NETADDR_ERROR is not None:
        raise RegistryError(
            "prsnl.ports needs the Python library netaddr on the controller: run pip install"
            " netaddr in the environment of ansible-playbook"
        ) from addresses.NETADDR_ERROR
    with yaml_source.without_gc():
        faults: list[Fault] = []
        if data is None:
            data, faults = yaml_source.parse(source)
        registry = Registry.from_data(data, file, source)
        if data is not None:
            for layer in (schema.ports_schema().faults(data), rules.faults(registry)):
                # What is said about a value once is enough.
                known = {fault.path for fault in faults}
                new = (fault for fault in layer if fault.path not in known)
                faults += itertools.islice(new, MOST - len(faults))
    if faults:
        raise RegistryError(report(file, faults, yaml_source.lines(source)))
    return registry
