# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes and syntax of settings."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgresql_cluster.settings import (
    assignments,
    changed_names,
    include_text,
    quote,
    render,
    tune,
    value_of,
    without,
)

MAIN = """\
# port = 1
port = 5432\t\t\t# (change requires restart)
Listen_Addresses='localhost, ::1'
work_mem 4MB
log_line_prefix = 'it''s %m # ' # a comment
include_dir = 'conf.d'
"""


@pytest.mark.parametrize(
    ("memory_mb", "connections", "sizes"),
    [
        # shared_buffers, effective_cache_size, maintenance_work_mem, work_mem
        (64, 100, ("32MB", "48MB", "16MB", "1024kB")),
        (1024, 100, ("256MB", "768MB", "64MB", "1966kB")),
        (16384, 100, ("4096MB", "12288MB", "1024MB", "31457kB")),
        (262144, 50, ("8192MB", "196608MB", "1024MB", "65536kB")),
        (0, 100, ("32MB", "32MB", "16MB", "1024kB")),
    ],
)
def test_sizes(memory_mb: int, connections: int, sizes: tuple[str, ...]) -> None:
    found = tune(memory_mb, connections)
    names = ("shared_buffers", "effective_cache_size", "maintenance_work_mem", "work_mem")
    assert tuple(found[name] for name in names) == sizes
    assert found["max_connections"] == connections


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "'on'"),
        (False, "'off'"),
        (5433, "'5433'"),
        ("it's", "'it''s'"),
        (r"C:\new", r"'C:\\new'"),
        ("a\nport = 1", r"'a\nport = 1'"),
    ],
)
def test_values_are_quoted(value: object, text: str) -> None:
    assert quote(value) == text


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00")))
def test_a_value_is_read_as_it_was_written(value: str) -> None:
    text = render({"archive_command": value, "zero": 0})
    # PostgreSQL parts lines at these two only.
    if not set(value) & set("\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
        assert value_of(text, "archive_command") == value
        assert set(assignments(text)) == {"archive_command", "zero"}
    assert text.count("\n") == 3


def test_what_a_file_sets() -> None:
    assert assignments(MAIN).keys() == {"port", "listen_addresses", "work_mem", "log_line_prefix"}
    assert value_of(MAIN, "port") == "5432"
    assert value_of(MAIN, "listen_addresses") == "localhost, ::1"
    assert value_of(MAIN, "work_mem") == "4MB"
    assert value_of(MAIN, "log_line_prefix") == "it's %m # "
    assert value_of(MAIN, "shared_buffers") is None
    assert value_of(r"a = 'x\ny\101'", "a") == "x\nyA"


def test_a_setting_is_removed_and_nothing_else() -> None:
    assert without(MAIN, "port") == MAIN.replace(MAIN.splitlines(keepends=True)[1], "")


def test_changed_names() -> None:
    former = render({"port": 1, "gone": 1, "same": 1})
    assert changed_names(former, render({"port": 2, "new": 1, "same": 1})) == {
        "port",
        "gone",
        "new",
    }


def test_the_file_that_leads_to_the_settings() -> None:
    assert include_text("/etc/x's.conf").endswith("\ninclude_if_exists '/etc/x''s.conf'\n")
