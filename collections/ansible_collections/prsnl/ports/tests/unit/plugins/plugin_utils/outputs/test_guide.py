# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide: nothing of the registry is lost in it."""

from __future__ import annotations

import copy
import pathlib
import re
import typing as t

import hypothesis
import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import HIDDEN
from ansible_collections.prsnl.ports.plugins.plugin_utils.drafts import draft, exported
from ansible_collections.prsnl.ports.plugins.plugin_utils.outputs import guide
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError
from hypothesis import strategies as st

HERE = pathlib.Path(__file__).parents[1]
SOURCES = [HERE / "references" / "ports.yml", HERE / "registry" / "base.yml"]
# One line of text, as the schema allows it: also what Markdown and YAML would take for something.
TEXTS = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")).filter(
        lambda char: not HIDDEN.match(char)
    ),
    min_size=1,
    max_size=30,
) | st.sampled_from(
    [
        *("| a | b |", "`x`", "&amp;", " lead", "trail ", "*b*", "_a_", "a_b", "[x](y)", "<b>"),
        *("→ gone", "no", "2026-01-01", "~", "1", "yes", '{"a": 1}', "---", "# x", "\\|", "a, b"),
        *("-", "\u00a0"),
    ]
)


def guide_of(data: dict[str, t.Any]) -> str:
    """The guide of a registry that is given as data; it must be one without faults."""
    source = draft.Draft(data).text().encode()
    return guide.guide(load.parse(source, "ports.yml"), "registry/ports.yml")


@pytest.mark.parametrize("source", SOURCES, ids=[source.name for source in SOURCES])
def test_reading_the_guide_gives_the_registry(source: pathlib.Path) -> None:
    registry = load.read(str(source))
    text = guide.guide(registry, "registry/ports.yml")
    assert exported.is_exported(text)
    data = exported.read(text, "ports.md")
    assert data == registry.data
    # The order of services and endpoints has a meaning too.
    assert [list(s["endpoints"]) for s in data["services"].values()] == [
        list(s["endpoints"]) for s in registry.data["services"].values()
    ]
    assert guide_of(data) == text


@hypothesis.given(st.data())
def test_exporting_and_reading_is_a_fixed_point(data: st.DataObject) -> None:
    """Whatever the texts are, and whatever else the format has or is going to have."""
    registry = copy.deepcopy(load.read(str(data.draw(st.sampled_from(SOURCES)))).data)
    services = registry["services"].values()
    for holder in (*services, *(e for s in services for e in s["endpoints"].values())):
        if data.draw(st.booleans()):
            holder["description"] = data.draw(TEXTS)
        if "endpoints" not in holder and data.draw(st.booleans()):
            holder["config"] = data.draw(st.lists(TEXTS, min_size=1, max_size=3, unique=True))
        if "endpoints" not in holder and data.draw(st.integers(0, 3)) == 0:
            holder["owner"] = {"process": data.draw(st.sampled_from(["a", ["b"], ["c", "d,e"]]))}
    for entry in registry["history"]:
        entry |= {key: data.draw(TEXTS) for key in ("what", "why", "by")}
    registry["rules"] = {"a": data.draw(TEXTS)}
    registry["outputs"] = [{"file": "x", "format": "guide"}]
    if data.draw(st.booleans()):
        registry["decisions"] = []
    text = guide_of(registry)
    assert exported.read(text, "ports.md") == registry
    assert guide_of(exported.read(text, "ports.md")) == text


def test_the_guide_has_what_people_look_for() -> None:
    text = guide.guide(load.read(str(SOURCES[0])), "../registry/ports.yml")
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert titles == [
        *("Ports in use", "Retired and reserved ports", "Details of endpoints"),
        *("Routes of the reverse proxy", "CORS", "Services", "Reserved ranges", "Environments"),
        *("Groups of hosts", "Changing or adding a port", "Temporary use", "A port is taken"),
        "History",
    ]
    for system in ("Linux", "macOS", "Windows"):
        assert f"| {system} |" in text
    assert "http://localhost:3004" in text.partition("## CORS")[2].partition("## ")[0]
    rows = text.partition("## Ports in use")[2].partition("## ")[0]
    ports = [int(port) for port in re.findall(r"^\| (\d+) \|", rows, re.MULTILINE)]
    assert ports == sorted(ports)
    assert 5433 in ports
    assert 5432 not in ports
    assert max(map(len, (line for line in text.splitlines() if "|" not in line))) <= 100


def test_an_edited_guide_is_refused() -> None:
    text = guide.guide(load.read(str(SOURCES[0])), "registry/ports.yml")
    for old, new in (
        ("| 5433 |", "| many |"),
        ("`postgresql.sql` 5432 → 5433", "5432 became 5433"),
        ("| Port | Endpoint |", "| Number | Endpoint |"),
        ("| `backend` |", "| `backend` | more |"),
    ):
        assert old in text
        with pytest.raises(RegistryError, match=r"ports\.md:1: found a generated guide whose"):
            exported.read(text.replace(old, new), "ports.md")
