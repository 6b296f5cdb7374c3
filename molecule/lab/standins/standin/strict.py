# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as their vendor reads them: unknown names are refused, and so are impossible values."""

from __future__ import annotations

import difflib
import pathlib
import re
import typing as t

_UNITS: t.Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}


class RefusedError(Exception):
    """A configuration that the vendor's program doesn't start with; the text says where and why."""


class Names:
    """The option names of a product.

    A ``*`` in a name stands for one part between dots that the user chooses, ``**`` for any number
    of them.
    """

    def __init__(self, names: t.Iterable[str]) -> None:
        self.exact: set[str] = set()
        self._patterns: list[re.Pattern[str]] = []
        for name in names:
            if "*" in name:
                pattern = re.escape(name).replace(r"\*\*", ".+").replace(r"\*", r"[^.]+")
                self._patterns.append(re.compile(pattern))
            else:
                self.exact.add(name)

    def __contains__(self, name: str) -> bool:
        return name in self.exact or any(pattern.fullmatch(name) for pattern in self._patterns)

    def nearest(self, name: str) -> str:
        """The real name that is most like ``name``, in a sentence; empty if none is."""
        near = difflib.get_close_matches(name, sorted(self.exact), 1, 0.6)
        return f" Did you mean '{near[0]}'?" if near else ""


def read_names(product: str) -> list[list[str]]:
    """The words of each line of the product's list of options; ``#`` starts a comment."""
    text = (pathlib.Path(__file__).parent / "names" / f"{product}.txt").read_text(encoding="utf-8")
    return [line.split() for line in text.splitlines() if line.split("#")[0].strip()]


def boolean(value: str) -> bool:
    """Abseil's and Go's words for a truth value.

    :raises ValueError: it is none of them.
    """
    word = value.lower()
    if word in {"true", "t", "yes", "y", "1", "on"}:
        return True
    if word in {"false", "f", "no", "n", "0", "off"}:
        return False
    raise ValueError(f"'{value}' is neither true nor false")


def port(value: object) -> int:
    """A single TCP port.

    :raises ValueError: it is a range, no number, or none that TCP has.
    """
    text = str(value)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**16:
        raise ValueError(f"'{text}' is not one TCP port (1 to {2**16 - 1})")
    return int(text)


def size(value: str) -> int:
    """Bytes from a number with a unit (powers of 1024), such as ``4gb``, ``512MiB`` or ``1.5G``.

    :raises ValueError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgtpe]?)(?:i?b)?", value.strip().lower())
    if not found:
        raise ValueError(f"'{value}' is not an amount of memory such as 4gb")
    return int(float(found[1]) * 1024 ** _UNITS[found[2]])
