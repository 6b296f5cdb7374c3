# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elasticsearch's own system call filter: from now on, this process starts no program.

The calls and what they may answer are those of ``LinuxNativeAccess.java`` of Elasticsearch 9.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import typing as t

# linux/prctl.h, linux/seccomp.h
GET_SECCOMP, SET_SECCOMP, SET_NO_NEW_PRIVS, GET_NO_NEW_PRIVS = 21, 22, 38, 39
SET_MODE_FILTER, ALL_THREADS, FILTERED = 1, 1, 2
BOGUS: t.Final = 0x77A46A5C


class _Machine(t.NamedTuple):
    """linux/audit.h, and numbers of system calls (asm/unistd.h)."""

    audit: int
    limit: int
    forbidden: tuple[int, ...]
    seccomp: int


MACHINES: t.Final = {
    "x86_64": _Machine(0xC000003E, 0x3FFFFFFF, (57, 58, 59, 322), 317),
    "aarch64": _Machine(0xC00000B7, 0xFFFFFFFF, (221, 281), 277),
}


class NoFilterError(Exception):
    """Why there is no filter, in the product's words."""


def program(machine: _Machine) -> bytes:
    """The filter: EACCES for other architectures' calls, and for those that start a program."""
    load, equal, greater, back = 0x20, 0x15, 0x25, 0x06
    count = len(machine.forbidden)
    lines = [
        (load, 0, 0, 4),
        (equal, 0, count + 3, machine.audit),
        (load, 0, 0, 0),
        (greater, count + 1, 0, machine.limit),
        *((equal, count - index, 0, number) for index, number in enumerate(machine.forbidden)),
        (back, 0, 0, 0x7FFF0000),
        (back, 0, 0, 0x00050000 | errno.EACCES),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def install() -> None:
    """Filter the calls of all threads.

    :raises NoFilterError: this kernel, or who confines this process, doesn't let it.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise NoFilterError(f"seccomp unavailable: '{platform.machine()}' architecture unsupported")
    libc = ctypes.CDLL(None, use_errno=True)

    def call(function: str, *arguments: int) -> tuple[int, int]:
        ctypes.set_errno(0)
        words = [ctypes.c_long(word) for word in arguments]
        return int(getattr(libc, function)(*words)), ctypes.get_errno()

    def expect(name: str, found: tuple[int, int], *allowed: int) -> None:
        if found[0] != -1 or found[1] not in allowed:
            raise NoFilterError(f"{name}: {os.strerror(found[1])}")

    usual = (errno.ENOSYS, errno.EINVAL)
    number = machine.seccomp
    expect("seccomp(BOGUS_OPERATION)", call("syscall", number, BOGUS, 0, 0), *usual)
    expect(
        "seccomp(SECCOMP_SET_MODE_FILTER, BOGUS_FLAG)",
        call("syscall", number, SET_MODE_FILTER, BOGUS, 0),
        *usual,
    )
    expect("prctl(BOGUS_OPTION)", call("prctl", BOGUS, 0, 0, 0, 0), *usual)
    if call("prctl", GET_SECCOMP, 0, 0, 0, 0)[0] not in (0, FILTERED):
        raise NoFilterError("seccomp unavailable: CONFIG_SECCOMP not compiled into kernel")
    expect("prctl(PR_SET_SECCOMP)", call("prctl", SET_SECCOMP, FILTERED, 0, 0, 0), errno.EFAULT)
    if call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)[0] != 0:
        raise NoFilterError("prctl(PR_SET_NO_NEW_PRIVS)")
    filters = program(machine)
    buffer = ctypes.create_string_buffer(filters, len(filters))
    # struct sock_fprog
    header = struct.pack("HxxxxxxP", len(filters) // 8, ctypes.addressof(buffer))
    pointer = ctypes.create_string_buffer(header, len(header))
    place = ctypes.addressof(pointer)
    first = call("syscall", number, SET_MODE_FILTER, ALL_THREADS, place)
    if first[0] != 0:
        second = call("prctl", SET_SECCOMP, FILTERED, place, 0, 0)
        if second[0] != 0:
            raise NoFilterError(
                f"seccomp(SECCOMP_SET_MODE_FILTER): {os.strerror(first[1])},"
                f" prctl(PR_SET_SECCOMP): {os.strerror(second[1])}"
            )
    if call("prctl", GET_SECCOMP, 0, 0, 0, 0)[0] != FILTERED:
        raise NoFilterError("seccomp filter installation did not really succeed")
