# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits change what was meant, and not a byte more."""

from __future__ import annotations

import itertools
import pathlib
import random
import re
import typing as t

import hypothesis
import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import HIDDEN
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import editor
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import source as yaml_source
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.editor import EditError, Editor
from hypothesis import strategies as st

REGISTRY = pathlib.Path(__file__).parents[9] / "registry" / "ports.yml"

# Words that have a meaning of their own somewhere in YAML.
TRICKY = (
    "1 1.5 1e3 0x1f true no On ~ null a: : [a {a *a &a !a %a @a `a | > 'a \"a a] a} it's = <<"
    " \u00e9 \U0001f600 \U00018cd6 12:30 --- ... 2026-11-26 2026-11-26T18:00Z"
)

Path = tuple[t.Union[str, int], ...]


def edited(text: str, *edits: tuple[t.Any, ...]) -> str:
    """A text after edits, each the name of a method and its arguments."""
    subject = Editor(text.encode(), "ports.yml")
    for name, *arguments in edits:
        getattr(subject, name)(*arguments)
    return subject.result().decode()


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        ("a: 1 # one\nb: 2\n", ("set", ("a",), 3), "a: 3 # one\nb: 2\n"),
        ("a: 1\r\nb: 2\r\n", ("set", ("b",), 3), "a: 1\r\nb: 3\r\n"),
        ("a: 'x'\nb: \"x\"\n", ("set", ("a",), "it's"), "a: 'it''s'\nb: \"x\"\n"),
        ("a: 'x'\nb: \"x\"\n", ("set", ("b",), "y"), "a: 'x'\nb: \"y\"\n"),
        ("a: &here 1\nb: 2\n", ("set", ("a",), 3), "a: &here 3\nb: 2\n"),
        ("a: &here # why\n  1\nb: 2\n", ("set", ("a",), 3), "a: &here # why\n  3\nb: 2\n"),
        ("a:\nb: 2\n", ("set", ("a",), 3), "a: 3\nb: 2\n"),
        ("a: >-\n  x\n  y\nb: 2\n", ("set", ("a",), "z"), "a: z\nb: 2\n"),
        ("{a: {b: 1 , c: 2}}", ("set", ("a", "b"), 3), "{a: {b: 3 , c: 2}}"),
        ("a: 1\nb: 2", ("add", (), "c", 3), "a: 1\nb: 2\nc: 3"),
        ("a: 1\r\nb: 2", ("add", (), "c", 3), "a: 1\r\nb: 2\r\nc: 3"),
        ("a: 1\n\nb: 2\n\n\n", ("add", (), "c", 3), "a: 1\n\nb: 2\n\nc: 3\n\n\n"),
        ("a: 1\n\n# two\nb: 2\n", ("add", (), "c", 3), "a: 1\n\n# two\nb: 2\n\nc: 3\n"),
        ("a: {b: 1, }\n", ("add", ("a",), "c", [1]), "a: {b: 1, c: [1], }\n"),
        ("a: {}\n", ("add", ("a",), "c", 1), "a: {c: 1}\n"),
        (
            "a:\n  b:\n     x: 1\n  c: 2 # two\n  # end\nd: 1\n",
            ("add", ("a",), "e", {"f": 1, "g": [1, "h, i"]}),
            "a:\n  b:\n     x: 1\n  c: 2 # two\n"
            "  e:\n     f: 1\n     g: [1, 'h, i']\n  # end\nd: 1\n",
        ),
        ("a: # none\n  - 1\n", ("append", ("a",), 2), "a: # none\n  - 1\n  - 2\n"),
        (
            "a:\n- x: 1\n  y: 2\nb: 3\n",
            ("append", ("a",), {"x": 3}),
            "a:\n- x: 1\n  y: 2\n- {x: 3}\nb: 3\n",
        ),
        ("a: []  # none\nb: 1\n", ("append", ("a",), 2), "a:  # none\n  - 2\nb: 1\n"),
        ("a: &x []\n", ("append", ("a",), 2), "a: &x [2]\n"),
        ("a: [\n  # none\n]\n", ("append", ("a",), 2), "a: [2\n  # none\n]\n"),
        (
            "a: [1 , # one\n  2, # two\n]\n",
            ("append", ("a",), 3),
            "a: [1 , # one\n  2, 3, # two\n]\n",
        ),
        ("a: 1\n", ("append", ("b",), {"c": [{"d": 1}]}), "a: 1\nb:\n  - c:\n      - {d: 1}\n"),
        ('{"a": []}', ("append", ("a",), "no"), "{\"a\": ['no']}"),
        (
            "a:\n  - 1 # one\n    # still one\n  # two\n  - 2\n",
            ("append", ("a",), 3),
            "a:\n  - 1 # one\n    # still one\n  # two\n  - 2\n  - 3\n",
        ),
        (
            "a:\n  - 1\n    # still one\n# end\n",
            ("append", ("a",), 3),
            "a:\n  - 1\n    # still one\n  - 3\n# end\n",
        ),
        ("a: 1\nb: 2 # two\nc: 3\n", ("remove", ("b",)), "a: 1\nc: 3\n"),
        ("a: 1\n\nb: 2\n\nc: 3\n", ("remove", ("b",)), "a: 1\n\nc: 3\n"),
        ("a: 1\n\nb: 2\n", ("remove", ("b",)), "a: 1\n"),
        ("a: {b: 1, c: 2}\n", ("remove", ("a", "b")), "a: {c: 2}\n"),
        ("a: {b: 1, c: 2}\n", ("remove", ("a", "c")), "a: {b: 1}\n"),
        ("a: {b: 1,}\n", ("remove", ("a", "b")), "a: {}\n"),
        ("a:\n  - 1\n  - 2\n", ("remove", ("a", 0)), "a:\n  - 2\n"),
        ("a: # none\n  - 1\nb: 1\n", ("remove", ("a", 0)), "a: [] # none\nb: 1\n"),
        ("a: &x\n  - 1\n", ("remove", ("a", 0)), "a: &x []\n"),
        ("a:\n  b: 1\nc: 1\n", ("remove", ("a", "b")), "a: {}\nc: 1\n"),
        ("\ufeffa: 1\n", ("set", ("a",), 2), "\ufeffa: 2\n"),
        ("---\na: 1\n...\n# end\n", ("add", (), "b", 2), "---\na: 1\nb: 2\n...\n# end\n"),
    ],
)
def test_an_edit(before: str, edit: tuple[t.Any, ...], after: str) -> None:
    assert edited(before, edit) == after


@pytest.mark.parametrize(
    "value",
    [
        *TRICKY.split(),
        *("", " x", "x ", "a: b", "a #b", "- a", "? a", "a, b", 'say "x"', "a\u00a0"),
        *("a\tb", "a\nb", "\\", '\\"'),
    ],
)
def test_a_text_is_read_as_itself(value: str) -> None:
    """In a block and in braces, by this project's reader; none is taken for something else."""
    for text in ("a: 1\n", "{a: 1}"):
        after = edited(text, ("add", (), "b", value), ("add", (), "c", [value, {"k": value}]))
        assert yaml_source.parse(after.encode()) == (
            {"a": 1, "b": value, "c": [value, {"k": value}]},
            [],
        )


def test_what_cannot_be_changed_alone_is_refused() -> None:
    """With the place and what to do."""
    with pytest.raises(EditError, match=r"ports\.yml:3: a\[1\]\[0\]: isn't on lines of its own"):
        edited("a:\n  - 1\n  - - 2\n    - 3\n", ("remove", ("a", 1, 0)))
    with pytest.raises(EditError, match=r"ports\.yml:2: a: isn't on lines of its own"):
        edited("? a\n: 1\n? b\n: 2\n", ("remove", ("a",)))
    with pytest.raises(EditError, match="can't be changed safely: "):
        edited("? a\n: 1\n", ("add", (), "b", 2))


def test_edits_at_once() -> None:
    """What goes to the same place keeps the order in which it was asked for."""
    text = REGISTRY.read_text(encoding="utf-8")
    endpoint = ("services", "postgresql", "endpoints", "sql")
    after = edited(
        text,
        ("set", (*endpoint, "port"), 5434),
        ("remove", ("services", "kibana", "endpoints", "http", "exception")),
        ("add", ("services",), "new", {"hosts": "all", "endpoints": {"http": {"port": 1}}}),
        ("append", ("history",), {"date": "2027-01-01", "changes": [{"endpoint": "a.b"}]}),
    )
    diff = editor.unified_diff(text.encode(), after.encode(), "ports.yml").splitlines()[2:]
    changed = [line for line in diff if line[0] in "+-"]
    assert changed == [
        "-        port: 5433",
        "+        port: 5434",
        "-        exception: Kibana's own default; it lies in the databases range by history",
        "+",
        "+  new:",
        "+    hosts: all",
        "+    endpoints:",
        "+      http:",
        "+        port: 1",
        "+  - date: 2027-01-01",
        "+    changes:",
        "+      - {endpoint: a.b}",
    ]


# --- any text ------------------------------------------------------------------------------------

WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon", "zeta"])
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")).filter(
        lambda char: not HIDDEN.match(char)
    ),
    max_size=12,
)
SCALARS = st.one_of(st.integers(0, 70000), st.booleans(), st.none(), WORDS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.dictionaries(WORDS, inner, max_size=4), st.lists(inner, max_size=4)),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(WORDS, VALUES, min_size=1, max_size=5)


class Writer:
    """Writes data as YAML in any way that means the same, with comments where they may be."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.end = dice.choice(["\n", "\n", "\r\n"])
        self.step = dice.choice([1, 2, 4])
        self.dash = dice.choice([0, 2])
        self.anchors = itertools.count()

    def document(self, data: dict[str, t.Any]) -> str:
        lines = self.block(data, 0)
        if self.dice.random() < 0.2:
            lines = ["# first", "---", *lines]
        text = self.end.join(lines)
        text += self.dice.choice(["", self.end, f"{self.end}{self.end}", f"{self.end}# last"])
        return ("\ufeff" if self.dice.random() < 0.2 else "") + text

    def block(self, value: t.Any, indent: int) -> list[str]:
        lines: list[str] = []
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            for _index in range(self.dice.choice([0, 0, 0, 1])):
                lines.append(self.dice.choice(["", " " * indent + "# it's: a [comment"]))
            head = " " * indent + ("-" if isinstance(key, int) else f"{self.scalar(key)}:")
            anchor = f" &a{next(self.anchors)}" if self.dice.random() < 0.1 else ""
            if isinstance(item, (dict, list)) and item and self.dice.random() < 0.7:
                is_indentless = isinstance(item, list) and isinstance(value, dict) and not self.dash
                inner = self.block(item, indent + (0 if is_indentless else self.step))
                lines += [head + anchor + self.comment(), *inner]
            else:
                lines.append(f"{head}{anchor} {self.flow(item)}{self.comment()}")
        return lines

    def flow(self, value: t.Any) -> str:
        comma = self.dice.choice([", ", " , ", ","])
        blank = self.dice.choice(["", " "])
        end = self.dice.choice(["", ", "]) if value else ""
        if isinstance(value, dict):
            pairs = [f"{self.scalar(key)}: {self.flow(item)}" for key, item in value.items()]
            return "{" + blank + comma.join(pairs) + end + blank + "}"
        if isinstance(value, list):
            return "[" + blank + comma.join(map(self.flow, value)) + end + blank + "]"
        return self.scalar(value)

    def scalar(self, value: t.Any) -> str:
        if value is None:
            return self.dice.choice(["null", "~"])
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int):
            return str(value)
        single = "'" + value.replace("'", "''") + "'"
        double = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        plain = str(value) if value.isascii() and value.isalpha() and len(value) > 3 else single
        forms = [plain, single, double] if value not in ("null", "true", "false") else [single]
        return str(self.dice.choice(forms))

    def comment(self) -> str:
        return self.dice.choice(["", "", "", "  # why: because, 'so' {"])


def paths(value: t.Any, path: Path = ()) -> t.Iterator[tuple[Path, t.Any]]:
    """Every path of data with its value."""
    yield path, value
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        yield from paths(item, (*path, key))


def is_part(small: str, large: str) -> bool:
    """Whether a text is another one from which characters were taken out."""
    rest = iter(large)
    return all(char in rest for char in small)


def same_start(before: str, after: str) -> int:
    """How many characters two texts have in common at their start."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(before), len(after)))


def is_inserted(before: str, after: str) -> bool:
    """Whether a text is another one into which one piece was put."""
    tail = before[same_start(before, after) :]
    return len(after) >= len(before) and after.endswith(tail)


@hypothesis.given(st.data(), DOCUMENTS, st.randoms(use_true_random=False))
@hypothesis.settings(max_examples=200)
def test_any_edit_of_any_text(
    data: st.DataObject, document: dict[str, t.Any], dice: random.Random
) -> None:
    """It says what was meant, and the rest is the same to the byte; or it is refused."""
    before = Writer(dice).document(document)
    parsed, faults = yaml_source.parse(before.encode())
    assert (parsed, faults) == (document, []), before
    subject = Editor(before.encode(), "ports.yml")
    kind = data.draw(st.sampled_from(["set", "add", "append", "remove"]))
    fits: dict[str, t.Callable[[Path, t.Any], bool]] = {
        "set": lambda path, value: bool(path) and not isinstance(value, (dict, list)),
        "add": lambda _path, value: isinstance(value, dict) and "new" not in value,
        "append": lambda _path, value: isinstance(value, list),
        "remove": lambda path, _value: bool(path) and (len(path) > 1 or len(document) > 1),
    }
    places = [path for path, value in paths(document) if fits[kind](path, value)]
    hypothesis.assume(places)
    path = data.draw(st.sampled_from(places))
    new = data.draw(SCALARS if kind == "set" else VALUES)
    hypothesis.event(kind)
    if kind == "add":
        subject.add(path, "new", new)
    elif kind == "remove":
        subject.remove(path)
    else:
        getattr(subject, kind)(path, new)
    after = subject.result().decode()
    assert yaml_source.parse(after.encode())[0] == subject.data
    if kind == "set":
        value = next(value for place, value in paths(document) if place == path)
        assert len(before) - len(after) <= len(repr(value)) + 8
        # Outside of the value nothing differs.
        same = same_start(before, after)
        tail = 0
        while tail < min(len(before), len(after)) - same and before[-1 - tail] == after[-1 - tail]:
            tail += 1
        assert "\n" not in before[same : len(before) - tail]
        assert "#" not in before[same : len(before) - tail] or (
            isinstance(value, str) and "#" in value
        )
    elif kind == "remove":
        # The only thing that may be new is the brackets of what became empty.
        without = [after[: m.start()] + after[m.end() :] for m in re.finditer(r" (\[\]|{})", after)]
        assert any(is_part(text, before) for text in [after, *without]), (before, after)
    else:
        # The only thing that may be gone is the brackets of what was empty.
        without = [
            before[: m.start()] + before[m.end() :] for m in re.finditer(r" *\[ *\]", before)
        ]
        assert any(is_inserted(text, after) for text in [before, *without]), (before, after)
    for comment in ("# first", "# last"):
        assert (comment in before) == (comment in after)
