# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Laws of reading: no input makes a traceback, and what is reported can be used."""

from __future__ import annotations

import copy
import json
import pathlib
import re
import typing as t

import hypothesis
import jsonschema
import pytest
import referencing
import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    fitting,
    schema,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    load as registry,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import (
    source as yaml_source,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError
from hypothesis import strategies as st

BASE = (pathlib.Path(__file__).parents[1] / "registry" / "base.yml").read_bytes()
DATA, _FAULTS = yaml_source.parse(BASE)

# Words of the format and traps of YAML meet more rules than random text does.
WORDS = st.sampled_from(
    [
        "all",
        "shop",
        "store",
        "front",
        "back",
        "office",
        "web",
        "data",
        "staging",
        "production",
        "tcp",
        "udp",
        "critical",
        "fixed",
        "retired",
        "reserved",
        "alternative",
        "host",
        "internal",
        "public",
        "store.sql",
        "shop.http",
        "127.0.0.1",
        "0.0.0.0",
        "::",
        "::1",
        "10/8",
        "192.0.2.0/24",
        "1-2",
        "20000-20999",
        "2026-02-01",
        "/",
        "/shop/",
        "no",
        "0o17",
        "22:22",
        ".nan",
        "1e3",
        "~",
        "<<",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 65536),
    st.integers(),
    st.floats(),
    st.dates(),
    WORDS,
    st.text(max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(), inner),
    max_leaves=8,
)


def paths(data: t.Any, path: tuple[t.Any, ...] = ()) -> list[tuple[t.Any, ...]]:
    """The paths of all values below data."""
    inner: list[tuple[t.Any, t.Any]] = []
    if isinstance(data, dict):
        inner = list(data.items())
    elif isinstance(data, list):
        inner = list(enumerate(data))
    return [p for key, value in inner for p in [(*path, key), *paths(value, (*path, key))]]


@st.composite
def mutations(draw: st.DrawFn) -> t.Any:
    """The base with some values replaced, removed, renamed or added."""
    data = copy.deepcopy(DATA)
    for _number in range(draw(st.integers(1, 4))):
        options = paths(data)
        if not options:
            break
        *parents, key = draw(st.sampled_from(options))
        holder = data
        for parent in parents:
            holder = holder[parent]
        action = draw(st.sampled_from(["replace", "remove", "rename", "add", "move"]))
        if action == "replace":
            holder[key] = draw(VALUES)
        elif action == "remove":
            del holder[key]
        elif isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]) if action == "rename" else draw(VALUES))
        elif action == "rename":
            holder[draw(WORDS)] = holder.pop(key)
        elif action == "add":
            holder[draw(WORDS)] = draw(VALUES)
        else:
            holder[draw(WORDS)] = copy.deepcopy(holder[key])
    return data


def check(source: bytes) -> None:
    """Fails unless the text is a registry or its report is in order."""
    try:
        registry.parse(source, "ports.yml")
    except RegistryError as error:
        rows = str(error).split("\n")
        matches = [re.fullmatch(r"ports\.yml:(\d+): (.+?): (.+)", row) for row in rows]
        assert all(matches), rows
        numbers = [int(match[1]) for match in matches if match]
        assert numbers == sorted(numbers)
        assert numbers[0] >= 1
        assert numbers[-1] <= source.count(b"\n") + source.count(b"\r") + 3
        assert len(set(rows)) == len(rows)


@hypothesis.given(st.binary())
def test_bytes(source: bytes) -> None:
    """Any file."""
    check(source)


@hypothesis.given(st.text())
def test_text(source: str) -> None:
    """Any text."""
    check(source.encode(errors="surrogatepass"))


@hypothesis.given(VALUES)
def test_yaml(data: t.Any) -> None:
    """Any YAML document."""
    check(yaml.safe_dump(data, allow_unicode=True).encode())


@pytest.mark.slow
@hypothesis.given(mutations())
@hypothesis.settings(max_examples=300)
def test_almost_registries(data: t.Any) -> None:
    """A registry in which some things are something else."""
    check(yaml.safe_dump(data, allow_unicode=True).encode())


@hypothesis.given(
    st.lists(
        st.tuples(
            st.integers(0, len(BASE)),
            st.integers(0, 20),
            st.sampled_from("[]{}:-?!&*<>|%@`'\"#, \n\t") | st.text(max_size=3),
        ),
        min_size=1,
        max_size=4,
    )
)
@hypothesis.settings(max_examples=300)
def test_slips_of_the_keyboard(edits: list[tuple[int, int, str]]) -> None:
    """A registry in which some characters are others."""
    source = BASE
    for start, length, text in edits:
        source = source[:start] + text.encode(errors="replace") + source[start + length :]
    check(source)


@pytest.mark.slow
@hypothesis.given(mutations())
@hypothesis.settings(max_examples=300)
def test_our_way_through_the_schema_is_that_of_jsonschema(data: t.Any) -> None:
    """The validator that is made quicker finds a fault if and only if the library's own does."""
    data, _faults = yaml_source.parse(yaml.safe_dump(data, allow_unicode=True).encode())
    files = {
        name: json.loads(pathlib.Path(schema.DIRECTORY, name).read_text(encoding="utf-8"))
        for name in ("ports.schema.json", "owner.schema.json")
    }
    others = referencing.Registry().with_resources(
        (name, referencing.Resource.from_contents(content)) for name, content in files.items()
    )
    plain = jsonschema.Draft202012Validator(files["ports.schema.json"], registry=others)
    if plain.is_valid(data):
        # A newline at the end is where Python's `$` isn't that of JSON Schema.
        ours = [f for f in schema.ports_schema().faults(data) if "\\n'" not in f.message]
        assert ours == []
    else:
        assert list(schema.ports_schema().faults(data))


@pytest.mark.parametrize("name", ["ports", "leases", "owner", "runbook"])
def test_every_keyword_of_the_schemas_is_known(name: str) -> None:
    """So that jsonschema is imported for faults only."""
    known = {f"_{word}" for word in fitting._NOTES} | {"_then", "_else", "_additionalProperties"}
    known |= set(vars(fitting.Fitting))

    def keywords(part: t.Any) -> set[str]:
        if not isinstance(part, dict):
            return set()
        found = {f"_{word.strip('$')}" for word in part if word not in ("$defs", "$schema")}
        for word, value in part.items():
            if word in ("properties", "$defs", "dependentSchemas"):
                below = list(value.values())
            elif word in ("allOf", "anyOf"):
                below = value
            elif word in ("items", "additionalProperties", "propertyNames", "not", "if", "then"):
                below = [value]
            else:
                below = [value] if word == "else" else []
            found.update(*map(keywords, below))
        return found

    text = pathlib.Path(schema.DIRECTORY, f"{name}.schema.json").read_text(encoding="utf-8")
    assert keywords(json.loads(text)) - known == set()


def test_without_libyaml_the_registry_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML's own parser is slower, and all that some systems have."""

    class Loader(yaml.BaseLoader):
        resolve = yaml_source._Loader.resolve

    monkeypatch.setattr(yaml_source, "_Loader", Loader)
    assert yaml_source.parse(BASE) == (DATA, [])
    check(b"[" * 2_000)


def test_a_file_is_read_once(tmp_path: pathlib.Path) -> None:
    """So that a run sees one registry from its beginning to its end."""
    path = tmp_path / "ports.yml"
    path.write_bytes(BASE)
    first = registry.load(str(path))
    path.unlink()
    assert registry.load(str(path)) is first


def test_lines_are_those_of_the_file() -> None:
    """A mapping's value has the line of its key, an item of a list its own."""
    lines = yaml_source.lines(b"# a\nb:\n  c:\n    - d\n    -\n      e: f\n")
    assert lines == {
        (): 2,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "c", 0): 4,
        ("b", "c", 1): 6,
        ("b", "c", 1, "e"): 6,
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("True", "True"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("''", ""),
        ("'1'", "1"),
        ("-1", -1),
        ("0", 0),
        ("007", "007"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("+1", "+1"),
        ("22:22", "22:22"),
        ("1.0", "1.0"),
        (".inf", ".inf"),
        ("2026-01-01", "2026-01-01"),
        ("|\n  null", "null\n"),
        (">-\n  12", "12"),
    ],
)
def test_scalars_are_what_they_look_like(text: str, value: t.Any) -> None:
    """Plain ones are null, a boolean, a decimal integer or text; others are text."""
    data, faults = yaml_source.parse(f"key: {text}\n".encode())
    assert (data, faults) == ({"key": value}, [])
    assert type(data["key"]) is type(value)


def test_the_schema_is_a_schema_and_tells_what_everything_is() -> None:
    """Editors show the descriptions."""
    with open(f"{schema.DIRECTORY}/ports.schema.json", encoding="utf-8") as stream:
        data = json.load(stream)
    jsonschema.Draft202012Validator.check_schema(data)
    for path in paths(data):
        node = data
        for key in path:
            node = node[key]
        in_condition = {"if", "then", "else"} & set(path)
        if len(path) > 1 and path[-2] == "properties" and not in_condition:
            assert node.get("description"), path
        if isinstance(node, dict) and "properties" in node and not in_condition:
            assert node["additionalProperties"] is False, path
