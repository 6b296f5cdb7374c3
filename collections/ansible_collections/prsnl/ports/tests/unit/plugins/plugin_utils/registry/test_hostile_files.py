# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are made to hang, to crash, or to take for ever."""

from __future__ import annotations

import datetime
import os
import pathlib
import random
import subprocess
import sys
import time
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import leases, load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    MOST,
    RegistryError,
)

COLLECTIONS = pathlib.Path(__file__).parents[8]
BASE = (pathlib.Path(__file__).parent / "base.yml").read_text(encoding="utf-8")
LEASES = """\
leases:
  - port: 9100
    hosts: app
    holder: {process: node, user: ada}
    reason: A demonstration
    expires: 2026-12-01
"""
# Of each kind of file.
NUMBER = 2500
# Of processor time, for one file. What grows with the square of a file takes far longer.
SECONDS = 1.0

DEEP = {
    "flow sequences": "a: " + "[" * 30_000,
    "closed ones": "a: " + "[" * 30_000 + "]" * 30_000,
    "flow mappings": "a: " + "{a: " * 30_000,
    "dashes": "- " * 30_000,
    "complex keys": "? " * 30_000,
    "blocks": "".join(f"{' ' * level}k:\n" for level in range(2_000)),
}


@pytest.mark.parametrize("kind", DEEP)
def test_deep_nesting_is_a_fault(kind: str, tmp_path: pathlib.Path) -> None:
    """In a process of its own: without a limit that one ends by a signal."""
    file = tmp_path / "ports.yml"
    file.write_text(DEEP[kind])
    program = (
        "import sys\n"
        "from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load\n"
        "try:\n    load.read(sys.argv[1])\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)],
        env=os.environ | {"PYTHONPATH": str(COLLECTIONS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done
    assert done.stdout.startswith("RegistryError"), done.stdout
    assert "levels, allowed are 32" in done.stdout


MANY: dict[str, t.Callable[[int], str]] = {
    "the same key": lambda n: "".join("k: 1\n" for _index in range(n)),
    "unknown keys": lambda n: "".join(f"k{i}: 1\n" for i in range(n)),
    "consumers of all types": lambda n: BASE.replace(
        "consumers: [", "consumers: [" + "".join(f"x{i}, {i}, [a], {{b: {i}}}, " for i in range(n))
    ),
    "the same consumer": lambda n: BASE.replace("consumers: [", "consumers: [" + "web, " * n),
    "unknown consumers": lambda n: BASE.replace(
        "consumers: [", "consumers: [" + "".join(f"x{i}, " for i in range(n))
    ),
    "environments of a service": lambda n: BASE.replace(
        "environments: [staging, production]",
        "environments: [" + "".join(f"e{i}, " for i in range(n)) + "]",
    ),
    "processes and units": lambda n: BASE.replace(
        "process: shop, user: shop, unit: shop.service",
        f"process: [{', '.join(f'p{i}' for i in range(n))}],"
        f" unit: [{', '.join(f'u{i}.service' for i in range(n))}]",
    ),
    "long misspelt names": lambda n: BASE.replace(
        "consumers: [shop, office]", f"consumers: [{'ab' * n}]"
    ).replace("  shop:\n", f"  {'ba' * n}:\n"),
    "networks of everybody": lambda n: BASE.replace(
        "cidrs: [192.0.2.0/24]",
        "cidrs: [" + ", ".join(f"{128 + i % 32}.{i // 32 % 256}.0.0/2" for i in range(n)) + "]",
    ),
    "hidden characters": lambda n: BASE + "# \u202e\n" * n,
    "changes of one endpoint": lambda n: (
        BASE
        + "".join(
            "  - {date: 2026-03-01, what: a, why: b, by: c,"
            " changes: [{endpoint: shop.http, from: 1, to: 1, status: fixed}]}\n"
            for _index in range(n)
        )
    ),
    "services with one owner": lambda n: BASE.replace(
        "services:\n",
        "services:\n"
        + "".join(
            f"  s{i}: {{description: d, hosts: front, environments: [staging],"
            f" owner: {{unit: a.service}}, endpoints: {{e: {{port: 7, status: retired}}}}}}\n"
            for i in range(n)
        ),
    ),
    "aliases": lambda n: "a: &a [x]\n" + "".join(f"b{i}: *a\n" for i in range(n)),
}


def _seconds(source: str) -> float:
    start = time.process_time()
    with pytest.raises(RegistryError) as caught:
        load.parse(source.encode(), "ports.yml")
    elapsed = time.process_time() - start
    # The last line may say that there are more.
    assert len(str(caught.value).splitlines()) <= MOST + 1
    return elapsed


@pytest.mark.parametrize("kind", MANY)
def test_many_faults_cost_no_more_each(kind: str) -> None:
    """Ten times as many may take ten times as long, with room for noise, not a hundred times."""
    make = MANY[kind]
    few, many = _seconds(make(1_000)), _seconds(make(10_000))
    assert many < 30 * few + SECONDS, (few, many)


def test_many_leases_are_read_once_for_many_hosts(tmp_path: pathlib.Path) -> None:
    rows = "".join(
        f"  - {{port: {n % 65535 + 1}, hosts: h{n}, holder: {{process: a}}, reason: r,"
        " expires: 2026-12-01}\n"
        for n in range(2_000)
    )
    file = tmp_path / leases.NAME
    file.write_text("version: 1\nleases:\n" + rows)
    start = time.process_time()
    for _index in range(200):
        _read_leases(tmp_path / "ports.yml")
    assert time.process_time() - start < 5 * SECONDS
    file.write_text("version: 1\nleases: []\n")
    assert leases.read(str(file)) == []


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "too large", "missing"])
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ports.yml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = pathlib.Path("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "too large":
        with path.open("wb") as stream:
            stream.truncate((64 << 20) + 1)
    with pytest.raises(RegistryError, match=r"can't be read: .+\. Set path in the section"):
        load.read(str(path))


def test_a_pipe_as_leases_is_refused_at_once(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / leases.NAME)
    with pytest.raises(RegistryError, match="the leases can't be read: it is not a regular file"):
        _read_leases(tmp_path / "ports.yml")


@pytest.mark.parametrize("text", ["~", "null", "", "# nothing", "---\n", '""'])
def test_a_file_of_nothing_is_a_fault(text: str) -> None:
    with pytest.raises(RegistryError):
        load.parse(text.encode(), "ports.yml")
    with pytest.raises(RegistryError):
        leases.parse(text.encode(), "leases.yml")


def _read_leases(registry: pathlib.Path) -> None:
    leases.host_leases(
        str(registry), "app", {"app"}, datetime.datetime(2026, 11, 26, tzinfo=datetime.UTC)
    )


WORDS = [
    *("", " ", "\n", "\t", "\0", "\x1b[31m", "\u202e", "\ufeff", "'", '"', "- ", "? ", ": ", "#"),
    *(
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "!!python/object:os.system ",
        "<<: ",
        "|",
        ">",
        "%",
        "---\n",
    ),
    *("null", "~", "true", "no", "0o17", "1e9", "-1", "65536", "22:22", "9" * 40, "::", "0.0.0.0"),
    *("retired", "critical", "public", "host", "all", "é", "\U0001f600", "x" * 300),
]


def _mutate(text: str, rng: random.Random) -> bytes:
    """The text with a few pieces removed, repeated, moved or replaced."""
    for _index in range(rng.randint(1, 6)):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 1, 3, 20, 200)))
        piece = text[start:end]
        change = rng.randrange(4)
        if change == 0:
            text = text[:start] + text[end:]
        elif change == 1:
            text = text[:end] + piece * rng.choice((1, 2, 50)) + text[end:]
        elif change == 2:
            text = text[:start] + rng.choice(WORDS) * rng.choice((1, 1, 1, 100)) + text[end:]
        else:
            other = rng.randrange(len(text) + 1)
            text = text[:start] + text[end:]
            text = text[:other] + piece + text[other:]
    data = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1 and data:
        spot = rng.randrange(len(data))
        data = data[:spot] + bytes([rng.randrange(256)]) + data[spot + 1 :]
    return data


def test_no_file_hangs_or_ends_in_a_traceback(tmp_path: pathlib.Path) -> None:
    """5,000 broken registries and lease files. A failure names the seed to run again with."""
    seed = int(os.environ.get("FUZZ_SEED", time.time_ns() % 1_000_000))
    registry = tmp_path / "ports.yml"
    for number in range(NUMBER):
        rng = random.Random(f"{seed} {number}")  # noqa: S311 - not for secrets
        source = _mutate(BASE, rng)
        (tmp_path / leases.NAME).write_bytes(_mutate(LEASES, rng))
        for kind, read in (
            ("registry", lambda source=source: load.parse(source, "ports.yml")),
            ("leases", lambda: _read_leases(registry)),
        ):
            start = time.process_time()
            try:
                read()
            except RegistryError as error:
                printed = str(error).replace("\n", "")
                assert printed.isprintable(), f"FUZZ_SEED={seed}, {kind} {number}: {printed!r}"
            except Exception as error:
                raise AssertionError(f"FUZZ_SEED={seed}, {kind} {number}: {error!r}") from error
            elapsed = time.process_time() - start
            assert elapsed < SECONDS, f"FUZZ_SEED={seed}, {kind} {number}: {elapsed:.1f} s"
