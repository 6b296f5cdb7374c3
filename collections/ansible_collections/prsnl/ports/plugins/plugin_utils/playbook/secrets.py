# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of a site, one file each in a folder of the controller, each made once.

No message of an error has a secret's text.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import secrets
import shlex
import stat
import string
import tempfile
import typing as t
import unicodedata

from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import found

SHORTEST: t.Final = 8
FEWEST: t.Final = 10
# Far more than a certificate with its chain has, in bytes.
LARGEST: t.Final = 1_048_576
_LONGEST_NAME: t.Final = 200
_OTHERS: t.Final = 0o077
_OTHERS_WRITE: t.Final = 0o022
# What file systems without hard links answer.
_NO_LINKS: t.Final = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)
_PEM: t.Final = re.compile(r"^-----(?=(?:BEGIN|END) (.+)-----$)(BEGIN|END) ", re.MULTILINE)
# The named sets are those of ansible.builtin.password.
_NAMED: t.Final = ("ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits", "hexdigits")
_SETS: t.Final = (*_NAMED, "octdigits", "punctuation")


class SecretError(Exception):
    """A secret that can't be had: its file, why not, and what to do."""


def secret_path(folder: pathlib.Path, name: str, kind: str) -> pathlib.Path:
    """The file of a secret: `postgresql-prsnl` of the kind `password`, for example.

    Raises SecretError if the name or the kind can't be part of a file's name.
    """
    for word in (name, kind):
        odd = "/" in word or not word.isprintable() or word.startswith(".")
        if not word or odd or len(word.encode()) > _LONGEST_NAME:
            raise SecretError(
                f"found {found(word)} as the name or kind of a secret, allowed are up to"
                f" {_LONGEST_NAME} printable bytes that have no slash and don't start with a dot"
            )
    return folder / f"{name}.{kind}"


def alphabet(characters: t.Iterable[str]) -> str:
    """The characters of named sets and of texts; raises SecretError if they are too few or odd."""
    parts = [getattr(string, part) if part in _SETS else part for part in characters]
    result = "".join(sorted(set("".join(parts))))
    if len(result) < FEWEST or not (result.isascii() and result.isprintable()) or " " in result:
        raise SecretError(
            f"characters: found {found(result)}, allowed are at least {FEWEST} different visible"
            f" characters of ASCII, or the names {', '.join(_SETS)}"
        )
    return result


def read(path: pathlib.Path, *, public: bool = False, lines: bool = False) -> str | None:
    """The text of a secret without white space at its end, or None if it isn't there yet.

    A secret has one line, or several with `lines`. Others may read its file if it is `public`.
    Raises SecretError if there is a file that can't be trusted to hold the secret.
    """
    _check_folder(path.parent)
    try:
        # O_NONBLOCK, so that a FIFO doesn't wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        _refuse_dangling(path)
        return None
    except OSError as error:
        raise SecretError(
            f"{path} can't be read: {error.strerror}. Let the user who runs Ansible read it"
        ) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SecretError(f"{path} isn't a file. Move it away, or name the secret differently")
        if not public and status.st_mode & _OTHERS:
            raise SecretError(
                f"{path} has the mode {stat.S_IMODE(status.st_mode):04o}, with which others may"
                f" read or change the secret. Run chmod 600 {shlex.quote(str(path))} (or set"
                " secrets_dir to a folder where that is possible), and replace the secret if"
                " somebody may have seen it"
            )
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise SecretError(f"{path} can't be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return _text(path, content, lines)


def _text(path: pathlib.Path, content: bytes, lines: bool) -> str:
    remedy = "Put the secret into it that its service has, or remove it to get a new one"
    if len(content) > LARGEST:
        raise SecretError(f"{path} has more than {LARGEST} bytes, which no secret has. {remedy}")
    try:
        text = content.decode().rstrip()
    except UnicodeDecodeError:
        raise SecretError(f"{path} isn't UTF-8 text. {remedy}") from None
    if not text:
        raise SecretError(
            f"{path} is empty, as after a full disk, and an empty secret would mean none. {remedy}"
        )
    if "\0" in text or (not lines and any(unicodedata.category(c) == "Cc" for c in text)):
        raise SecretError(
            f"{path} has several lines or control characters, allowed is one line of text. {remedy}"
        )
    if lines:
        _refuse_cut(path, text, remedy)
    return text


def _refuse_cut(path: pathlib.Path, text: str, remedy: str) -> None:
    """Refuse certificates and keys without their ends; RFC 7468."""
    if "-----BEGIN" not in text:
        return
    begun = [label for label, kind in _PEM.findall(text) if kind == "BEGIN"]
    ended = [label for label, kind in _PEM.findall(text) if kind == "END"]
    if not begun or begun != ended or not text.splitlines()[-1].startswith("-----END "):
        raise SecretError(
            f"{path} is cut off, as after a full disk: its last certificate or key has no end."
            f" {remedy}"
        )


def placeholder(path: pathlib.Path) -> str:
    """What stands for a secret that isn't there yet where none may be made."""
    return f"({path.name} is made outside of check mode)"


def make(path: pathlib.Path, length: int, characters: str) -> str:
    """The text of a secret, which is made if it isn't there yet.

    It appears whole or not at all, is on the disk before it is used, and of several that are made
    at once the first one is everybody's. Raises SecretError.
    """
    existing = read(path)
    if existing is not None:
        return existing
    if length < SHORTEST:
        raise SecretError(f"length: found {length}, allowed is a whole number from {SHORTEST}")
    text = "".join(secrets.choice(characters) for _index in range(length))
    try:
        _create(path, f"{text}\n".encode())
    except OSError as error:
        raise SecretError(
            f"{path} can't be made: {error.strerror}. Nothing was left there. Make room or give the"
            " user who runs Ansible the right to write there, or set secrets_dir to another folder"
        ) from None
    made = read(path)
    if made is None:
        raise SecretError(f"{path} is gone right after it was made. Leave the folder to Ansible")
    return made


def _create(path: pathlib.Path, content: bytes) -> None:
    folder = path.parent
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync(folder.parent)
    # With the mode 0600.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _publish(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    _sync(folder)


def _publish(temporary: str, path: pathlib.Path) -> None:
    """Give a complete file its name, unless something has that name already."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Such as a folder that a virtual machine shares with its host.
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if not os.path.lexists(path):
                os.rename(temporary, path)
        finally:
            os.close(folder)


def _sync(folder: pathlib.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # Some file systems have no such thing as a folder on the disk.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_folder(folder: pathlib.Path) -> None:
    try:
        status = folder.stat()
    except FileNotFoundError:
        _refuse_dangling(folder)
        return
    except OSError as error:
        raise SecretError(f"{folder} can't be read: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise SecretError(f"{folder} isn't a folder. Set secrets_dir to one, or move it away")
    if status.st_mode & _OTHERS_WRITE:
        raise SecretError(
            f"{folder} has the mode {stat.S_IMODE(status.st_mode):04o}, with which others may"
            f" replace the secrets in it. Run chmod 700 {shlex.quote(str(folder))}, or set"
            " secrets_dir to another folder"
        )


def _refuse_dangling(path: pathlib.Path) -> None:
    """A link whose end is missing may lead to what isn't mounted now."""
    if path.is_symlink():
        raise SecretError(
            f"{path} is a link to {os.readlink(path)}, which isn't there. Bring that back (is its"
            " file system mounted?), or remove the link to get new secrets"
        )
