# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets are made once and whole, and a file that can't be one is never taken for none."""

from __future__ import annotations

import concurrent.futures
import errno
import multiprocessing
import os
import pathlib
import resource
import stat
import string
import tempfile
import time
from collections.abc import Callable

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import secrets

ALPHABET = secrets.alphabet(["ascii_letters", "digits"])
FORKS = 20
Maker = Callable[[pathlib.Path], str]


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """The file of a secret that isn't there yet, in a folder that isn't either."""
    return secrets.secret_path(tmp_path / "secrets", "postgresql-shop", "password")


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: pathlib.Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_secret_is_made_once(path: pathlib.Path) -> None:
    """And is found again by its name, in a file that nobody else can read."""
    os.umask(before := os.umask(0))
    os.umask(0)
    try:
        text = secrets.make(path, 32, ALPHABET)
    finally:
        os.umask(before)
    assert len(text) == 32
    assert set(text) <= set(string.ascii_letters + string.digits)
    assert path.read_text(encoding="utf-8") == f"{text}\n"
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert names(path.parent) == ["postgresql-shop.password"]
    assert secrets.make(path, 48, ALPHABET) == secrets.read(path) == text


def test_two_secrets_differ(tmp_path: pathlib.Path) -> None:
    made = {secrets.make(tmp_path / f"{number}.password", 16, ALPHABET) for number in range(9)}
    assert len(made) == 9


@pytest.mark.parametrize("content", ["old", "old\n", "old \n\n", "old\r\n"])
def test_a_file_that_was_there_stays_valid(path: pathlib.Path, content: str) -> None:
    """Whether ansible.builtin.password or a person wrote it."""
    path.parent.mkdir()
    path.write_bytes(content.encode())
    path.chmod(0o600)
    assert secrets.make(path, 32, ALPHABET) == "old"
    assert path.read_bytes() == content.encode()


def test_a_certificate_has_several_lines(path: pathlib.Path) -> None:
    path.parent.mkdir()
    path.write_text("one\ntwo\n", encoding="utf-8")
    path.chmod(0o644)
    assert secrets.read(path, public=True, lines=True) == "one\ntwo"


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("end", range(1, len(CERTIFICATE + KEY) - 1))
def test_a_certificate_that_is_cut_off_is_an_error(path: pathlib.Path, end: int) -> None:
    """Unless what is left is whole, as far as anybody can tell."""
    text = (CERTIFICATE + KEY)[:end]
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    if text.strip() == CERTIFICATE.strip() or not text.startswith("-----BEGIN"):
        assert secrets.read(path, lines=True) == text.strip()
        return
    with pytest.raises(secrets.SecretError, match=r"is cut off, as after a full disk: .* no end"):
        secrets.read(path, lines=True)


def race(path: pathlib.Path) -> str:
    return secrets.make(path, 32, ALPHABET)


def race_without_links(path: pathlib.Path) -> str:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def slowly(*arguments: str) -> None:
        time.sleep(0.1)
        rename(*arguments)

    os.link = link  # type: ignore[assignment]
    # So that everybody would be there before the first one is done.
    rename, os.rename = os.rename, slowly  # type: ignore[assignment]
    return secrets.make(path, 32, ALPHABET)


@pytest.mark.parametrize("maker", [race, race_without_links])
def test_all_forks_get_the_same(
    path: pathlib.Path, maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a new one, on file systems with and without hard links."""
    # Everybody finds it missing, and waits for the others before writing it.
    barrier = multiprocessing.get_context("fork").Barrier(FORKS)
    create = secrets._create

    def late(*arguments: object) -> None:
        barrier.wait(60)
        create(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(secrets, "_create", late)
    with concurrent.futures.ProcessPoolExecutor(
        FORKS, mp_context=multiprocessing.get_context("fork")
    ) as pool:
        made = set(pool.map(maker, [path] * FORKS))
    assert made == {secrets.read(path)}
    assert names(path.parent) == ["postgresql-shop.password"]


def test_a_full_disk_leaves_nothing_behind(path: pathlib.Path) -> None:
    """The kernel refuses the first byte, as on a full disk."""
    path.parent.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(secrets.SecretError) as caught:
            secrets.make(path, 32, ALPHABET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value).startswith(f"{path} can't be made: File too large. Nothing was left")
    assert names(path.parent) == []
    assert len(secrets.make(path, 32, ALPHABET)) == 32


@pytest.mark.parametrize("call", ["fsync", "link"])
def test_a_failing_disk_leaves_nothing_behind(
    path: pathlib.Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path.parent.mkdir()
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(secrets.SecretError, match="No space left on device"):
        secrets.make(path, 32, ALPHABET)
    assert names(path.parent) == []


def test_it_is_on_the_disk_before_it_has_its_name(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its name is on the disk before it is used."""
    seen: list[str] = []
    fsync, link = os.fsync, os.link

    def synced(descriptor: int) -> None:
        target = pathlib.Path(f"/proc/self/fd/{descriptor}").resolve()
        size = "" if target.is_dir() else f" {target.stat().st_size}"
        seen.append(f"fsync {'folder' if target == path.parent else 'file'}{size}")
        fsync(descriptor)

    def linked(source: str, target: str) -> None:
        seen.append("link")
        link(source, target)

    path.parent.mkdir()
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    secrets.make(path, 32, ALPHABET)
    assert seen == ["fsync file 33", "link", "fsync folder"]


def broken(path: pathlib.Path, what: str) -> None:
    """Something that isn't a secret, where one should be."""
    contents = {
        "empty": b"",
        "blank": b" \n\n",
        "nul": b"\0" * 33,
        "two lines": b"one\ntwo\n",
        "latin": b"caf\xe9\n",
        "huge": b"x" * 2_000_000,
    }
    path.parent.mkdir()
    if what in contents:
        path.write_bytes(contents[what])
        path.chmod(0o600)
    elif what == "folder":
        path.mkdir(mode=0o700)
    elif what == "fifo":
        os.mkfifo(path, 0o600)
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "dangling":
        path.symlink_to("/nowhere/secret")
    elif what in ("loop", "loops"):
        path.symlink_to(path)
    else:
        path.write_text("secret-of-old\n", encoding="utf-8")
        path.chmod(int(what, 8))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("empty", "is empty, as after a full disk, and an empty secret would mean none. Put the"),
        ("blank", "is empty"),
        ("nul", "has several lines or control characters, allowed is one line of text. Put the"),
        ("two lines", "has several lines or control characters"),
        ("latin", "isn't UTF-8 text. Put the"),
        ("huge", "has more than 1048576 bytes"),
        ("folder", "isn't a file. Move it away"),
        ("fifo", "isn't a file"),
        ("device", "isn't a file"),
        ("dangling", "is a link to /nowhere/secret, which isn't there. Bring that back"),
        ("loop", "can't be read: Too many levels of symbolic links"),
        ("0640", "has the mode 0640, with which others may read or change the secret. Run chmod"),
        ("0604", "has the mode 0604"),
        ("0620", "has the mode 0620"),
    ],
)
def test_what_is_no_secret_is_an_error(path: pathlib.Path, what: str, message: str) -> None:
    """It names the file and what to do, tells no secret, and leaves the file as it is."""
    broken(path, what)
    before = path.lstat()
    for read in (secrets.read, lambda path: secrets.make(path, 32, ALPHABET)):
        with pytest.raises(secrets.SecretError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path} {message}")
        assert "secret-of-old" not in str(caught.value)
    after = path.lstat()
    assert (before.st_ino, before.st_size, before.st_mode) == (
        after.st_ino,
        after.st_size,
        after.st_mode,
    )
    assert len(names(path.parent)) == 1


def test_a_file_that_this_user_can_not_read() -> None:
    """Root can read everything, so a child asks as somebody else."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "shop.password"
        path.write_text("secret-of-old\n", encoding="utf-8")
        path.chmod(0o600 if os.geteuid() == 0 else 0)
        pathlib.Path(folder).chmod(0o755)
        reading, writing = os.pipe()
        if os.fork() == 0:
            if os.geteuid() == 0:
                os.setuid(65534)
            try:
                secrets.read(path)
            except secrets.SecretError as error:
                os.write(writing, str(error).encode())
            os._exit(0)
        os.wait()
        os.close(writing)
        with open(reading, encoding="utf-8") as told:
            message = told.read()
    assert message.startswith(f"{path} can't be read: Permission denied. Let the user who runs")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("file", "isn't a folder. Set secrets_dir to one"),
        ("dangling", "is a link to /nowhere/secrets, which isn't there"),
        ("0777", "has the mode 0777, with which others may replace the secrets in it. Run chmod"),
        ("0770", "has the mode 0770"),
    ],
)
def test_a_folder_that_keeps_no_secrets(path: pathlib.Path, what: str, message: str) -> None:
    folder = path.parent
    if what == "file":
        folder.touch()
    elif what == "dangling":
        folder.symlink_to("/nowhere/secrets")
    else:
        folder.mkdir()
        folder.chmod(int(what, 8))
    with pytest.raises(secrets.SecretError) as caught:
        secrets.make(path, 32, ALPHABET)
    assert str(caught.value).startswith(f"{folder} {message}")


def test_a_folder_on_another_file_system(path: pathlib.Path) -> None:
    """A link to one that is there leads to it."""
    other = path.parents[1] / "other"
    other.mkdir(mode=0o700)
    path.parent.symlink_to(other)
    assert secrets.make(path, 32, ALPHABET) == secrets.read(other / path.name)


@pytest.mark.parametrize("word", ["", ".", "../x", "a/b", "a\nb", "a\0b", "é" * 150])
def test_a_name_is_that_of_a_file(tmp_path: pathlib.Path, word: str) -> None:
    for name, kind in ((word, "password"), ("shop", word)):
        with pytest.raises(secrets.SecretError, match="as the name or kind of a secret"):
            secrets.secret_path(tmp_path, name, kind)


@pytest.mark.parametrize(
    "characters", [[], ["abc"], ["a" * 20], ["digits", " "], ["digits", "\n"], ["digits", "é"]]
)
def test_characters_must_suffice(characters: list[str]) -> None:
    with pytest.raises(secrets.SecretError, match="characters: found"):
        secrets.alphabet(characters)


def test_a_short_secret_is_refused(path: pathlib.Path) -> None:
    with pytest.raises(secrets.SecretError, match="length: found 7, allowed is a whole number"):
        secrets.make(path, 7, ALPHABET)
    assert not path.parent.exists()
