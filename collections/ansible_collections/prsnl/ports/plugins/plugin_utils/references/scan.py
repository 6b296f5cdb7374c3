# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every port number of a source tree, whose it is, and whether it is right."""

from __future__ import annotations

import codecs
import dataclasses
import difflib
import os
import posixpath
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.references import (
    finders,
    places,
    tree,
    yaml_nodes,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.context import Context
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.documents import Document
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.finders import Kind
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.judge import (
    AMBIGUOUS,
    INTERNAL,
    RIGHT,
    STALE,
    UNKNOWN,
    Judge,
    Surroundings,
    Verdict,
    doubted,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.kinds import (
    dockerfile,
    kubernetes,
)
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.kinds.compose import Project
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.mentions import Mention
from ansible_collections.prsnl.ports.plugins.plugin_utils.references.parts import Part
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.model import Registry

# Larger files are data.
MAX_BYTES: t.Final = 1 << 20
VERDICTS: t.Final = (STALE, AMBIGUOUS, UNKNOWN, RIGHT, INTERNAL)
_TELL_OTHERS: t.Final = frozenset((Kind.YAML, Kind.DOCKERFILE))
_LEASES: t.Final = "leases.yml"
_DESCRIBES_OTHERS: t.Final = re.compile(rb"^[ \t]*(?:services|apiVersion|image|build)[ \t]*:", re.M)


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """A port number in a file; lines and columns count from 1, `start` and `end` are bytes."""

    file: str
    line: int
    column: int
    start: int
    end: int
    port: int
    verdict: str
    message: str
    service: str | None
    endpoint: str | None
    use: int | None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"

    def as_dict(self) -> dict[str, t.Any]:
        """Plain data, ready for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Change:
    """What a file is going to be."""

    file: str
    before: bytes
    after: bytes

    def diff(self) -> str:
        """The change as a unified diff; what isn't UTF-8 is shown as such."""
        old, new = (
            data.decode("utf-8", "backslashreplace").splitlines(keepends=True)
            for data in (self.before, self.after)
        )
        lines = difflib.unified_diff(old, new, f"a/{self.file}", f"b/{self.file}")
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in lines
        )


@dataclasses.dataclass
class Scan:
    """What was found below a directory."""

    root: str
    references: list[Reference]
    files: int
    _documents: dict[str, tuple[tree.Found, Document]] = dataclasses.field(default_factory=dict)
    _edits: dict[str, list[tuple[int, int, str]]] = dataclasses.field(default_factory=dict)

    def of(self, *verdicts: str) -> list[Reference]:
        """The references with one of the verdicts."""
        return [reference for reference in self.references if reference.verdict in verdicts]

    def changes(self) -> list[Change]:
        """What rewriting every stale number that has a successor would change."""
        return [
            Change(path, found.data, document.replaced(self._edits[path]))
            for path, (found, document) in self._documents.items()
        ]

    def rewrite(self, changes: t.Iterable[Change]) -> None:
        """Replaces the files. Raises TreeError if one can't be written."""
        contents = {c.file: (self._documents[c.file][0], c.after) for c in changes}
        tree.replace_files(self.root, contents)


def scan(
    registry: Registry,
    root: str,
    only: t.Collection[str] | None = None,
    exclude: t.Sequence[str] = (),
    hosts: t.Iterable[str] = (),
) -> Scan:
    """Every port number below a directory, or in some files of it.

    `only` are files relative to the directory; what the others say about containers is known all
    the same. `exclude` are patterns as in `.gitignore`, `hosts` are names and addresses of hosts
    that the registry is for.

    Raises TreeError if the directory can't be read.
    """
    root = os.path.realpath(root)
    return _Scanner(registry, root, exclude, hosts).scan(only)


def located(paths: t.Sequence[str]) -> tuple[str, list[str] | None]:
    """The directory to scan for some paths, and the files of it that are meant, None for all.

    Raises TreeError if there is no such path, or if they are several directories.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise tree.TreeError(f"{path}: there is no such file or directory")
    folders = [path for path in paths if os.path.isdir(path)]
    if folders:
        if len(paths) > 1:
            raise tree.TreeError(f"{folders[0]}: found among others, allowed is one directory")
        return folders[0], None
    first = os.path.dirname(os.path.realpath(paths[0]))
    root = tree.top_of(first) or first
    files = [os.path.join(os.path.realpath(os.path.dirname(p)), os.path.basename(p)) for p in paths]
    outside = [file for file in files if not file.startswith(root.rstrip("/") + "/")]
    if outside:
        raise tree.TreeError(f"{outside[0]}: isn't in {root}, as the first file is")
    return root, [os.path.relpath(file, root) for file in files]


class _Scanner:
    def __init__(
        self, registry: Registry, root: str, exclude: t.Sequence[str], hosts: t.Iterable[str]
    ) -> None:
        self._registry = registry
        self._root = root
        # Files are judged by where they are in the product, also if only a part of it is read.
        top = tree.top_of(root) or os.path.dirname(root)
        self._prefix = "" if top == root else os.path.relpath(root, top) + "/"
        self._exclude = exclude
        self._hosts = frozenset(host.casefold() for host in hosts)
        self._project = Project()
        self._cluster: set[str] = set()
        self._headless: set[str] = set()
        self._built: set[str] = set()
        self._trees: dict[str, yaml_nodes.Tree] = {}
        self._judge = Judge(registry)
        self._numbers = sorted(self._judge.ports.numbers())
        self._relevant = number_pattern(self._numbers)

    def scan(self, only: t.Collection[str] | None) -> Scan:
        """Reads the tree: what is known to others first, then every file by itself."""
        wanted = None if only is None else set(only)
        documents: list[tuple[Kind, tree.Found, Document]] = []
        files = 0
        for path in self._files():
            kind = finders.kind_of(path)
            if kind is None:
                continue
            if wanted is not None and path not in wanted and kind not in _TELL_OTHERS:
                continue
            found = self._read(path, kind)
            files += 1
            if found is None:
                continue
            document = Document.from_bytes(path, found.data)
            if document is None:
                continue
            self._take_in(kind, document)
            if wanted is None or path in wanted:
                documents.append((kind, found, document))
        self._judge.surroundings = Surroundings(
            containers=frozenset(self._project.hosts | self._headless),
            cluster=frozenset(self._cluster),
            ours=self._hosts,
            boxes=tuple(container.names for container in self._project.containers.values()),
            built=frozenset((self._prefix + folder).rstrip("/") for folder in self._built),
        )
        variables = self._variables()
        result = Scan(self._root, [], files)
        for kind, found, document in documents:
            folder = posixpath.dirname(document.path)
            nodes = self._trees.get(document.path)
            context = Context(document.path, self._project, variables.get(folder, {}), nodes)
            references = self._references(document, finders.find(kind, document.text, context))
            result.references += [reference for reference, _edit in references]
            edits = [edit for _reference, edit in references if edit]
            if edits:
                result._documents[document.path] = (found, document)
                result._edits[document.path] = edits
        return result

    def _files(self) -> t.Iterator[str]:
        generated = self._not_ours()
        for path in tree.list_files(self._root, self._exclude):
            if path not in generated:
                yield path

    def _not_ours(self) -> set[str]:
        """The registry itself, and what is generated from it."""
        file = os.path.realpath(self._registry.file) if self._registry.file else ""
        folder = os.path.dirname(file)
        outputs = self._registry.data.get("outputs")
        names = [
            os.path.join(folder, str(output.get("file", "")))
            for output in (outputs if isinstance(outputs, list) else [])
            if isinstance(output, dict)
        ]
        paths = [file, os.path.join(folder, _LEASES), *names]
        return {os.path.relpath(os.path.realpath(path), self._root) for path in paths}

    def _read(self, path: str, kind: Kind) -> tree.Found | None:
        try:
            found = tree.read_file(self._root, path, MAX_BYTES)
        except OSError:
            # Gone, or not for us: what can't be read can't be a dependent of this user.
            return None
        if found is None or finders.is_settled(path, kind) or _holds(self._relevant, found.data):
            return found
        if kind is Kind.YAML and _DESCRIBES_OTHERS.search(found.data):
            return found
        return None

    def _take_in(self, kind: Kind, document: Document) -> None:
        """What a file says about containers and Services."""
        if kind is Kind.DOCKERFILE:
            self._built.add(posixpath.dirname(document.path))
            self._project.bases |= dockerfile.bases(document.text)
        if kind is not Kind.YAML or not _DESCRIBES_OTHERS.search(document.data):
            return
        try:
            nodes = yaml_nodes.Tree(Part.whole(document.text))
        except ValueError:
            return
        self._trees[document.path] = nodes
        if not self._project.add(document.path, nodes) and any(
            map(kubernetes.is_kubernetes, nodes.roots)
        ):
            for name, own in kubernetes.services(nodes):
                (self._cluster if own else self._headless).add(name)

    def _variables(self) -> dict[str, dict[str, list[Mention]]]:
        """What Compose files use variables for, by directory."""
        found: dict[str, dict[str, list[Mention]]] = {}
        for path, nodes in self._trees.items():
            folder = found.setdefault(posixpath.dirname(path), {})
            for name, mention in self._project.variables(path, nodes):
                folder.setdefault(name, []).append(mention)
        return found

    def _references(
        self, document: Document, mentions: t.Iterable[Mention]
    ) -> list[tuple[Reference, tuple[int, int, str] | None]]:
        judged: dict[tuple[int, int], list[tuple[int, Verdict]]] = {}
        for mention in mentions:
            text = document.text[mention.start : mention.end]
            for port in self._ports_of(text):
                verdict = self._judge.judge(self._prefix + document.path, port, mention)
                if verdict and mention.prose and verdict.use:
                    row = document.line_text(document.position(mention.start)[0])
                    if re.search(rf"(?<!\d){verdict.use}(?!\d)", row):
                        verdict = doubted(verdict, "the line has both")
                if verdict is not None:
                    judged.setdefault((mention.start, mention.end), []).append((port, verdict))
        found = []
        for span, verdicts in sorted(judged.items()):
            agreed = _agreed(verdicts, is_range="-" in document.text[slice(*span)])
            if agreed is None:
                continue
            number, verdict = agreed
            line, column = document.position(span[0])
            reference = Reference(
                document.path, line, column, *document.byte_span(*span), number,
                verdict.verdict, verdict.message, verdict.service, verdict.endpoint, verdict.use,
            )  # fmt: skip
            stale = verdict.verdict == STALE and verdict.use is not None
            found.append((reference, (*span, str(verdict.use)) if stale else None))
        return found

    def _ports_of(self, text: str) -> list[int]:
        port = places.port_of(text)
        if port is not None:
            return [port]
        ends = places.range_of(text)
        if ends is None:
            return []
        return [port for port in self._numbers if ends[0] <= port <= ends[1]]


def _agreed(verdicts: list[tuple[int, Verdict]], is_range: bool) -> tuple[int, Verdict] | None:
    """The verdict about one place that is used in several ways, or that is a range."""
    worst = min(verdicts, key=lambda pair: VERDICTS.index(pair[1].verdict))
    if is_range:
        return worst if worst[1].verdict in (STALE, AMBIGUOUS) else None
    meanings = {(verdict.verdict, verdict.use) for _port, verdict in verdicts}
    if worst[1].verdict == STALE and len(meanings) > 1:
        return worst[0], doubted(worst[1], "other places use it with another meaning")
    return worst


def number_pattern(numbers: t.Iterable[int]) -> re.Pattern[bytes]:
    """Finds one of the numbers in the bytes of a file.

    Digits that numbers share are tried once, which keeps it fast for thousands of them. What is
    before a match is for whoever uses it to see: here it would be looked at before every byte.
    """
    trie: dict[str, t.Any] = {}
    for number in numbers:
        node = trie
        for digit in str(number):
            node = node.setdefault(digit, {})
        node[""] = {}
    return re.compile(_alternatives(trie).encode() + rb"(?!\w)")


def _holds(pattern: re.Pattern[bytes], data: bytes) -> bool:
    """Whether one of the numbers is in the bytes of a file, and isn't the end of a word."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.replace(b"\0", b"")
    return any(
        not (before := data[m.start() - 1 : m.start()]).isalnum() and before not in (b".", b"_")
        for m in pattern.finditer(data)
    )


def _alternatives(trie: dict[str, t.Any]) -> str:
    parts = [digit + _alternatives(below) for digit, below in sorted(trie.items()) if digit]
    if not parts:
        return "" if "" in trie else "(?!)"
    return f"(?:{'|'.join(parts)})" + ("?" if "" in trie else "")
