# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is bound accepts connections on every address that an endpoint has, and needs no more."""

from __future__ import annotations

import contextlib
import itertools
import socket
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.plan import binding

ADDRESSES = ("127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::")
SETS = [
    wanted
    for count in range(1, len(ADDRESSES) + 1)
    for wanted in itertools.permutations(ADDRESSES, count)
]


@pytest.mark.parametrize(
    ("listen", "address", "addresses", "wildcard", "dual_stack"),
    [
        ((), None, [], False, False),
        (("0.0.0.0", "::"), "::", ["::"], True, True),
        (("::", "0.0.0.0"), "::", ["::"], True, True),
        (("::",), "::", ["::"], True, False),
        (("0.0.0.0",), "0.0.0.0", ["0.0.0.0"], True, False),
        (("127.0.0.1",), "127.0.0.1", ["127.0.0.1"], False, False),
        (("::1",), "::1", ["::1"], False, False),
        (("::", "10.0.0.1", "2001:db8::1"), "::", ["::"], True, True),
        (("10.0.0.1", "0.0.0.0"), "0.0.0.0", ["0.0.0.0"], True, False),
        (("0.0.0.0", "::1"), None, ["0.0.0.0", "::1"], False, False),
        (("10.0.0.1", "10.0.0.2"), None, ["10.0.0.1", "10.0.0.2"], False, False),
        (("10.0.0.1", "10.0.0.1"), "10.0.0.1", ["10.0.0.1"], False, False),
    ],
)
def test_the_fewest_sockets(
    listen: tuple[str, ...],
    address: str | None,
    addresses: list[str],
    wildcard: bool,
    dual_stack: bool,
) -> None:
    sockets = [binding.socket(address, 80) for address in addresses]
    assert binding.bind(listen).as_dict(80) == {
        "address": address,
        "addresses": addresses,
        "socket": sockets[0] if len(sockets) == 1 else None,
        "sockets": sockets,
        "wildcard": wildcard,
        "dual_stack": dual_stack,
    }


def test_a_socket_as_in_urls() -> None:
    assert binding.socket("10.0.0.1", 80) == "10.0.0.1:80"
    assert binding.socket("2001:db8::1", 80) == "[2001:db8::1]:80"


def reaches(address: str, port: int) -> bool:
    """Whether this machine's kernel connects to the address."""
    address = {"0.0.0.0": "127.0.0.9", "::": "::1"}.get(address, address)
    with contextlib.closing(socket.socket(family(address))) as client:
        return client.connect_ex((address, port)) == 0


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def opened(addresses: t.Iterable[str], stack: contextlib.ExitStack) -> int:
    """Listening sockets as programs open them, all with one port, which is returned."""
    port = 0
    for address in addresses:
        server = stack.enter_context(contextlib.closing(socket.socket(family(address))))
        server.bind((address, port))
        server.listen()
        port = server.getsockname()[1]
    return port


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("listen", SETS[:: len(SETS) // 60], ids=",".join)
def test_the_kernel_accepts_on_every_address(listen: tuple[str, ...]) -> None:
    """And not, where one socket is left out."""
    bound = binding.bind(listen).addresses
    with contextlib.ExitStack() as stack:
        port = opened(bound, stack)
        assert all(reaches(address, port) for address in listen)
    for missing in bound:
        with contextlib.ExitStack() as stack:
            rest = [address for address in bound if address != missing]
            port = opened(rest, stack)
            assert not rest or not all(reaches(address, port) for address in listen)
