# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that gpg makes, and what isn't a file of public keys."""

from __future__ import annotations

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.openpgp import (
    KeyFileError,
    fingerprints,
    normalized,
)
from signing_keys import KINDS, Keys, make_keys, needs_gpg


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory)


@needs_gpg
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("armor", [True, False], ids=["armor", "binary"])
def test_a_fingerprint_is_the_one_that_gpg_shows(keys: Keys, kind: str, armor: bool) -> None:
    content = keys.export(kind, armor=armor)
    assert fingerprints(content) == [keys.of[kind]]
    assert fingerprints(content.replace(b"\n", b"\r\n") if armor else content) == [keys.of[kind]]


@needs_gpg
def test_every_key_of_a_file_counts(keys: Keys) -> None:
    both = [keys.of["ed25519"], keys.of["rsa2048"]]
    assert fingerprints(keys.export("ed25519", "rsa2048")) == both
    two = keys.export("ed25519") + b"\nfor old clients:\n" + keys.export("rsa2048")
    assert fingerprints(two) == both
    assert fingerprints(keys.export("ed25519", "rsa2048", armor=False)) == both


@needs_gpg
def test_what_is_no_file_of_public_keys_is_refused(keys: Keys) -> None:
    armored, binary = keys.export("rsa2048"), keys.export("rsa2048", armor=False)
    cut = [
        b"",
        b"<html>404</html>",
        binary[:-40],
        binary[:2],
        binary + b"\x00",
        armored.replace(b"PUBLIC KEY BLOCK", b"MESSAGE"),
        armored[:300],
        keys.export("rsa2048", secret=True),
        keys.export("rsa2048", armor=False, secret=True),
    ]
    for content in cut:
        with pytest.raises(KeyFileError):
            fingerprints(content)


@needs_gpg
@pytest.mark.parametrize("place", range(0, 600, 7))
def test_a_changed_key_has_another_fingerprint_or_is_refused(keys: Keys, place: int) -> None:
    """Never a traceback, and never the same where the key itself has changed."""
    binary = bytearray(keys.export("rsa2048", armor=False))
    binary[place % len(binary)] ^= 0x55
    try:
        found = fingerprints(bytes(binary))
    except KeyFileError:
        return
    # The key's own packet comes first.
    size = int.from_bytes(binary[1:3], "big") + 3
    assert place >= size or found != [keys.of["rsa2048"]]


@pytest.mark.parametrize("text", ["", "0123", "z" * 40, "0" * 41])
def test_what_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(KeyFileError, match="is no fingerprint"):
        normalized(text)


def test_a_fingerprint_may_be_written_as_vendors_do() -> None:
    given = "0123 4567 89ab cdef 0123  4567 89AB CDEF 0123 4567"
    assert normalized(given) == "0123456789ABCDEF" * 2 + "01234567"
