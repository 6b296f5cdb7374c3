# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Laws of rewriting Compose files: in any syntax, only the ports that are meant change."""

from __future__ import annotations

import pathlib
import re
import typing as t

import hypothesis
import pytest
import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.references import (
    context,
    finders,
    judge,
    places,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.documents import Document
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.kinds import (
    compose,
    javascript,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.yaml_nodes import Tree
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load
from hypothesis import strategies as st

REGISTRY = load.read(str(pathlib.Path(__file__).parent / "ports.yml"))
JUDGE = judge.Judge(REGISTRY)
OLD, NEW = "5432", "5433"
# Stands for the port that is meant.
MEANT = "\x01"
IMAGES = ["postgres", "postgres:16-alpine", "bitnami/postgresql:16", "docker.io/library/postgres"]
OTHERS = ["mysql:8", "ghcr.io/own/tool", "registry.example:5432/tool:5432", "nginx@sha256:0123"]
HOST = st.sampled_from(
    [
        MEANT,
        f"${{DB_PORT:-{MEANT}}}",
        f"${{DB_PORT-{MEANT}}}",
        f"${{A:-${{B:-{MEANT}}}}}",
        "15432",
        "${DB_PORT}",
        "${DB_PORT:?say it}",
        "5400-5440",
    ]
)
ADDRESS = st.sampled_from(["", "127.0.0.1:", "0.0.0.0:", "[::1]:", "${ADDRESS:-127.0.0.1}:"])
PROTOCOL = st.sampled_from(["", "/tcp"])
VALUES = st.sampled_from(
    [
        f"postgres://u:p@localhost:{OLD}/x",
        f"postgres://u:p@host.docker.internal:{MEANT}/x",
        f"postgresql+psycopg://u:${{PW}}@server:{OLD}/x",
        f"host=server port={OLD} dbname=x",
        f"jdbc:postgresql://10.0.0.1:{OLD}/x",
        f"http://localhost/{OLD}",
        OLD,
        f"v1.{OLD}",
        "a: b # c",
        "é 🙂",
    ]
)
COMMENT = st.sampled_from(["", f"  # {OLD}:{OLD}", "  # é"])


def quoted(draw: st.DrawFn, text: str) -> str:
    """A value as YAML, in one of the ways that it can be written."""
    styles = [f'"{text}"', f"'{text}'"]
    if re.fullmatch(rf"[\w.:/@=+{MEANT}-]+", text):
        styles.append(text)
    return draw(st.sampled_from(styles))


@st.composite
def short(draw: st.DrawFn) -> str:
    """A mapping in the short form, or only the container's port."""
    if draw(st.integers(0, 5)) == 0:
        return quoted(draw, OLD)
    host = draw(HOST)
    inner = "5400-5440" if host == "5400-5440" else draw(st.sampled_from([OLD, "${INNER:-5432}"]))
    return quoted(draw, f"{draw(ADDRESS)}{host}:{inner}{draw(PROTOCOL)}")


@st.composite
def long(draw: st.DrawFn) -> list[str]:
    """A mapping in the long form, as the entries of a mapping of YAML."""
    entries = [f"target: {draw(st.sampled_from([OLD, quoted(draw, OLD)]))}"]
    if draw(st.booleans()):
        entries.append(f"published: {quoted(draw, draw(HOST))}")
    extras = ["protocol: tcp", "mode: host", "host_ip: 127.0.0.1", "name: db", "app_protocol: sql"]
    entries += draw(st.lists(st.sampled_from(extras), unique=True, max_size=3))
    return draw(st.permutations(entries))


@st.composite
def ports(draw: st.DrawFn, pad: str, key: str = "ports", anchor: str = "") -> list[str]:
    """The lines of a service's ports, or of what a service refers to for them."""
    # A file that is laid over another one says what becomes of the other's list.
    what = anchor or draw(st.sampled_from(["", "", " !override"]))
    if draw(st.integers(0, 3)) == 0:
        items = draw(st.lists(short(), max_size=3))
        return [f"{pad}{key}:{what} [{', '.join(items)}]{draw(COMMENT)}"]
    lines = [f"{pad}{key}:{what}{draw(COMMENT)}"]
    for _index in range(draw(st.integers(1, 3))):
        entries = draw(long()) if draw(st.booleans()) else None
        if entries is None:
            lines.append(f"{pad}  - {draw(short())}{draw(COMMENT)}")
        elif draw(st.booleans()):
            lines.append(f"{pad}  - {{{', '.join(entries)}}}")
        else:
            lines += [f"{pad}  {'- ' if not i else '  '}{e}" for i, e in enumerate(entries)]
    return lines


@st.composite
def service(
    draw: st.DrawFn, pad: str, name: str, image: str, meant: bool
) -> tuple[list[str], list[str]]:
    """The lines of a service, and those of what it refers to above all services.

    Only one that is meant publishes the port.
    """
    blocks = [[f"{pad}  image: {quoted(draw, image)}"]]
    above: list[str] = []
    form = draw(st.sampled_from(["here", "here", "alias", "merge", "merges"]))
    if form == "here":
        blocks.append(draw(ports(f"{pad}  ")))
    elif form == "alias":
        above = draw(ports("", key=f"x-{name}", anchor=f" &{name}"))
        blocks.append([f"{pad}  ports: *{name}"])
    else:
        above = [f"x-{name}: &{name}", "  restart: always", *draw(ports("  "))]
        merged = f"*{name}" if form == "merge" else f"[*{name}]"
        blocks.append([f"{pad}  <<: {merged}"])
    if draw(st.booleans()):
        blocks.append([f"{pad}  expose: [{quoted(draw, OLD)}, {OLD}]"])
    if draw(st.booleans()):
        blocks.append([f"{pad}  profiles: [a, 'b']"])
    if draw(st.booleans()):
        test = f'["CMD-SHELL", "pg_isready -h localhost -p {OLD}"]'
        blocks.append([f"{pad}  healthcheck: {{test: {test}, interval: 5s}}"])
    if draw(st.booleans()):
        values = draw(st.lists(VALUES, min_size=1, max_size=3))
        if draw(st.booleans()):
            lines = [f"{pad}    V{i}: {quoted(draw, v)}" for i, v in enumerate(values)]
        else:
            lines = [f"{pad}    - {quoted(draw, f'V{i}={v}')}" for i, v in enumerate(values)]
        blocks.append([f"{pad}  environment:", *lines])
    lines = [line for block in draw(st.permutations(blocks)) for line in block]
    if not meant:
        # What it connects to on the host is meant all the same.
        lines = [line if "host.docker" in line else line.replace(MEANT, OLD) for line in lines]
        above = [line.replace(MEANT, OLD) for line in above]
    return [f"{pad}{name}:{draw(COMMENT)}", *lines], above


@st.composite
def compose_files(draw: st.DrawFn) -> str:
    """A Compose file in which the ports that are meant are marked."""
    head = draw(st.sampled_from([[], ["---"], ["name: shop"], ["# é 🙂", "version: '3.8'"]]))
    lines = ["services:"]
    pad = " " * draw(st.integers(1, 6))
    for index in range(draw(st.integers(1, 3))):
        meant = draw(st.booleans())
        image = draw(st.sampled_from(IMAGES if meant else OTHERS))
        own, above = draw(service(pad, f"server{index or ''}", image, meant))
        lines += own
        head = [*head, *above]
    if draw(st.booleans()):
        lines += ["volumes:", "  data: {}"]
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return newline.join([*head, *lines]) + draw(st.sampled_from(["", newline]))


def rewritten(text: str, encoding: str) -> tuple[bytes, list[str]]:
    """The bytes of a file after rewriting, and the verdicts about its places."""
    document = Document.from_bytes("compose.yml", text.encode(encoding))
    assert document is not None
    project = compose.Project()
    nodes = Tree(Part.whole(document.text))
    assert project.add("compose.yml", nodes)
    JUDGE.surroundings = judge.Surroundings(containers=project.hosts)
    edits, verdicts = [], []
    around = context.Context("compose.yml", project, {}, nodes)
    for mention in finders.find(finders.Kind.YAML, document.text, around):
        port = places.port_of(document.text[mention.start : mention.end])
        verdict = JUDGE.judge("compose.yml", port, mention) if port else None
        if verdict is not None:
            verdicts.append(verdict.verdict)
            if verdict.verdict == judge.STALE and verdict.use:
                edits.append((mention.start, mention.end, str(verdict.use)))
    return document.replaced(edits), verdicts


class Loader(yaml.SafeLoader):
    """Reads what Compose reads: its tags say how files are merged, and not what is in them."""


def untagged(loader: Loader, node: yaml.Node) -> t.Any:
    """The list after a tag."""
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node, deep=True)


Loader.add_constructor("!override", untagged)


def parsed(text: str | bytes) -> t.Any:
    """The data of a file."""
    return yaml.load(text, Loader)  # noqa: S506 - it is a safe one


def shape(data: t.Any) -> t.Any:
    """What data is apart from its texts and numbers."""
    if isinstance(data, dict):
        return {key: shape(value) for key, value in data.items()}
    return [shape(item) for item in data] if isinstance(data, list) else type(data)


# The same 200 files each time.
@hypothesis.settings(max_examples=200, derandomize=True)
@hypothesis.given(compose_files(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_only_the_ports_that_are_meant_change(template: str, encoding: str) -> None:
    before, after = template.replace(MEANT, OLD), template.replace(MEANT, NEW)
    data = parsed(before)
    hypothesis.target(float(template.count(MEANT)))
    result, _verdicts = rewritten(before, encoding)
    assert result == after.encode(encoding)
    assert parsed(result) == parsed(after)
    assert shape(parsed(result)) == shape(data)
    again, verdicts = rewritten(after, encoding)
    assert again == result
    assert judge.STALE not in verdicts


DEEP = 40_000
BOMB = "\n".join(
    ["a0: &a0 [5432, 5432]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]
)


@pytest.mark.parametrize("kind", finders.Kind)
@pytest.mark.parametrize(
    "text",
    [
        *(opened * DEEP for opened in ("[", "{", "(", "<", "`", "- ", "${")),
        BOMB,
        "a: &a [5432, *a]\nb: {<<: &b {c: 1, <<: *b}}",
        "port(5432, " * 30 + ")" * 30,
        "f(a)(b " * 22 + ")" * 22 + ", port: 5432",
    ],
    ids=[*"[{(<`-$", "aliases", "an alias in itself", "calls", "calls of calls"],
)
def test_no_file_costs_more_than_others(kind: finders.Kind, text: str) -> None:
    """Neither the process, nor all of the memory, nor the patience of whoever waits."""
    text += "\nservices:\n  db: {image: postgres, ports: ['5432:5432']}\n"
    list(finders.find(kind, text, context.Context("x/y.service")))


def test_words_of_nested_calls_are_no_more_than_those_of_a_person() -> None:
    values = list(javascript._values(Part.whole("f(a)(b " * 22 + ")" * 22 + ", port: 5432")))
    assert all(len(value.words) <= 32 for value in values)


@hypothesis.settings(max_examples=300)
@hypothesis.given(st.sampled_from(finders.Kind), st.text(max_size=200))
def test_no_text_makes_a_finder_fail(kind: finders.Kind, text: str) -> None:
    """Whatever a file holds, and whatever it is called."""
    hostile = f"services:\n  db:\n    image: postgres\n    ports: ['5432:5432']\n{text}"
    for content in (text, hostile, f"postgres://localhost:5432{text}", f"PORT={text}:5432"):
        for mention in finders.find(kind, content, context.Context("x/y.service")):
            assert content[mention.start : mention.end].replace("-", "").isdigit()
