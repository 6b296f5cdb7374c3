# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Mac tells of itself, without starting a process."""

from __future__ import annotations

import contextlib
import ctypes
import plistlib
import sys
import typing as t
from xml.parsers.expat import ExpatError

# What is installed goes there. The other volume is sealed and always read-only.
DATA_VOLUME = "/System/Volumes/Data"
# Programs that are linked against an old SDK get the second one with another version in it: 10.16
# or 16.0. By this name of the same file, nobody does (the comment on it in Rust's os_info, and
# https://github.com/python/cpython/issues/135675).
VERSION_FILES = (
    "/System/Library/CoreServices/.SystemVersionPlatform.plist",
    "/System/Library/CoreServices/SystemVersion.plist",
)


def product_version(root: str = "") -> str:
    """Return the version of macOS, such as ``26.1``; empty where it can't be read.

    :param root: the folder that all files are below; the tests' own instead of ``/``.
    """
    for path in VERSION_FILES:
        with contextlib.suppress(OSError, ValueError):
            with open(root + path, "rb") as file:
                version = parse_property_list(file.read()).get("ProductVersion")
            if version:
                return str(version)
    return ""


def parse_property_list(source: bytes) -> dict[str, t.Any]:
    """Return the dictionary that a property list is, whatever its format.

    :raises ValueError: it isn't one. Python's own parser raises what it stumbles over instead.
    """
    try:
        found = plistlib.loads(source)
    except (ArithmeticError, AttributeError, ExpatError, LookupError, TypeError) as error:
        raise ValueError(f"no property list: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("a property list without a dictionary")
    return found


def read_sysctl(name: str) -> t.Optional[bytes]:
    """Return the value of sysctlbyname(3); None where the kernel has no such name."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "sysctlbyname", None)
    if function is None:
        return None
    size = ctypes.c_size_t(0)
    if function(name.encode(), None, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return None
    # What it lists may have grown by the second call.
    size = ctypes.c_size_t(size.value + size.value // 2 + 16)
    buffer = ctypes.create_string_buffer(size.value)
    if function(name.encode(), buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
        return None
    return buffer.raw[: size.value]


def sysctl_number(name: str) -> int:
    """Return a number of the kernel; 0 where it has none of this name."""
    return int.from_bytes(read_sysctl(name) or b"", sys.byteorder)
