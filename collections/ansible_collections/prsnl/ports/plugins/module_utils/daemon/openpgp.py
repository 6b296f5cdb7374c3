# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose keys are in a file of OpenPGP keys. A host that has APT needn't have gpg to ask.

Source: RFC 9580, sections 4.2 (packets), 5.5.4 (fingerprints) and 6.2 (armor).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import typing as t

PUBLIC_KEY = 6
# Besides it: signatures, subkeys, marker, trust, user IDs and attributes, padding.
OTHERS = frozenset((2, 10, 12, 13, 14, 17, 21))
BLOCK = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)
ONE_OCTET, TWO_OCTETS, FOUR_OCTETS = 192, 224, 255
FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")


class KeyFileError(ValueError):
    """The file isn't one of public keys, and why."""


def fingerprints(content: bytes) -> list[str]:
    """Return the fingerprints of the primary keys of a file, in capitals, each once.

    :param content: in ASCII armor or as it is.
    :raises KeyFileError: it has anything else than public keys, or none.
    """
    blocks = [_dearmored(block) for block in BLOCK.findall(content)]
    if not blocks:
        if not content or not content[0] & 0x80:
            raise KeyFileError("it has no public keys of OpenPGP")
        blocks = [content]
    found = [
        _fingerprint(body) for block in blocks for tag, body in _packets(block) if tag == PUBLIC_KEY
    ]
    if not found:
        raise KeyFileError("it has no public keys of OpenPGP")
    return list(dict.fromkeys(found))


def normalized(fingerprint: str) -> str:
    """Return a fingerprint as it is compared: 40 or 64 digits in capitals, without blanks.

    :raises KeyFileError: it isn't one.
    """
    result = re.sub(r"[\s:]|^0x", "", fingerprint).upper()
    if not FINGERPRINT.fullmatch(result):
        raise KeyFileError(
            f"{fingerprint!r} is no fingerprint, which has 40 or 64 hexadecimal digits"
        )
    return result


def _dearmored(block: bytes) -> bytes:
    text = block.replace(b"\r\n", b"\n")
    # Headers end with an empty line, and the text with a checksum that nobody has to look at.
    _headers, blank, rest = text.partition(b"\n\n")
    body = rest if blank and not text.startswith(b"\n") else text
    lines = [line for line in body.split(b"\n") if not line.startswith(b"=")]
    try:
        return base64.b64decode(b"".join(lines), validate=True)
    except binascii.Error as error:
        raise KeyFileError(f"its armor can't be read: {error}") from None


def _packets(data: bytes) -> t.Iterator[tuple[int, bytes]]:
    start = 0
    while start < len(data):
        try:
            tag, begin, end = _header(data, start)
        except IndexError:
            raise KeyFileError("it is cut off") from None
        if end > len(data):
            raise KeyFileError("it is cut off")
        if tag != PUBLIC_KEY and tag not in OTHERS:
            raise KeyFileError(f"it has a packet of the kind {tag}, which no file of keys has")
        yield tag, data[begin:end]
        start = end


def _header(data: bytes, start: int) -> tuple[int, int, int]:
    """Return the kind of the packet at a place, and where its body begins and ends."""
    first = data[start]
    if not first & 0x80:
        raise KeyFileError("it has something between its keys")
    if not first & 0x40:
        size = {0: 1, 1: 2, 2: 4}.get(first & 3)
        if size is None:
            raise KeyFileError("it has a packet without a length")
        begin = start + 1 + size
        data[begin - 1]
        return first >> 2 & 15, begin, begin + int.from_bytes(data[start + 1 : begin], "big")
    tag, octet = first & 63, data[start + 1]
    if octet < ONE_OCTET:
        return tag, start + 2, start + 2 + octet
    if octet < TWO_OCTETS:
        length = ((octet - ONE_OCTET) << 8) + data[start + 2] + ONE_OCTET
        return tag, start + 3, start + 3 + length
    if octet < FOUR_OCTETS:
        raise KeyFileError("it has a packet in parts, which no file of keys has")
    data[start + 5]
    begin = start + 6
    return tag, begin, begin + int.from_bytes(data[start + 2 : begin], "big")


def _fingerprint(body: bytes) -> str:
    version = body[0] if body else 0
    if version == 4:  # noqa: PLR2004
        # What the version prescribes, not what we trust in.
        return (
            hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body)  # noqa: S324
            .hexdigest()
            .upper()
        )
    if version == 6:  # noqa: PLR2004
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    raise KeyFileError(f"it has a key of version {version}, known are 4 and 6")
