# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a handoff, as SVG: boxes and lines for a few nodes, a matrix for many.

Colours are classes that the page's style sheet gives a meaning to, in light and in dark.
"""

from __future__ import annotations

import dataclasses
import html
import typing as t

from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.graph import Graph, Node, Row
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.text import counted, visible

# Beyond these, lines can't be followed any more.
MAX_NODES: t.Final = 12
MAX_PAIRS: t.Final = 40
MAX_ROWS: t.Final = 16
# A matrix of more nodes has no room for their names.
MAX_MATRIX: t.Final = 80
COLUMNS: t.Final = 3
BOX: t.Final = 236
OUTSIDE_BOX: t.Final = 132
LANE: t.Final = 9
MARGIN: t.Final = 12
HEAD: t.Final = 40
ROW: t.Final = 31
GAP: t.Final = 26
CELL: t.Final = 16
# Of the monospaced font in `picture.css`, at its size.
CHARACTER: t.Final = 6.7
SMALL_CHARACTER: t.Final = 6.1


@dataclasses.dataclass
class _Box:
    """Where a node is. `y` of rows are the middles of their first lines."""

    node: Node
    column: int
    x: float
    y: float
    width: float
    height: float
    rows: dict[str, float]

    @property
    def right(self) -> float:
        return self.x + self.width


def draw(graph: Graph) -> str:
    """The picture; empty for a graph that is too large for any."""
    if len(graph.nodes) <= MAX_NODES and len(graph.pairs()) <= MAX_PAIRS:
        return _Flow(graph).svg()
    return matrix(graph) if len(graph.nodes) <= MAX_MATRIX else ""


def _text(x: float, y: float, text: str, kind: str, room: float = 0, *, at: str = "") -> str:
    """A text that is cut to the number of characters that there is room for."""
    shown = visible(text)
    if room and len(shown) > room:
        shown = shown[: max(1, int(room) - 1)] + "…"
    anchor = f' text-anchor="{at}"' if at else ""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}"{anchor}>{html.escape(shown)}</text>'


def _svg(width: float, height: float, parts: t.Iterable[str], title: str, text: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        f' width="{width:g}" height="{height:g}" role="img"'
        ' aria-labelledby="picture-title" aria-describedby="picture-text">'
        f'<title id="picture-title">{html.escape(title)}</title>'
        f'<desc id="picture-text">{html.escape(text)}</desc>' + "".join(parts) + "</svg>"
    )


# --- boxes and lines ---------------------------------------------------------------------------


class _Flow:
    """Columns of boxes from those who come to those who are reached.

    The lines of one pair share a trunk, which leaves the first box on its right, runs in the gaps
    between columns and, if it has to pass or return, below all boxes, and branches to endpoints.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._pairs = graph.pairs()
        columns = self._columns()
        self._lanes = self._plan_lanes(columns)
        self._boxes = self._place(columns)
        self._bottom = max((box.y + box.height for box in self._boxes.values()), default=0) + GAP
        self._buses = {pair: number for number, pair in enumerate(self._passing())}

    # The columns

    def _columns(self) -> dict[str, int]:
        """The column of each node: outside first, then hosts in the order of the paths."""
        hosts = [name for name, node in self._graph.nodes.items() if not node.outside]
        order = self._order(hosts)
        rank = dict.fromkeys(hosts, 0)
        for name in order:
            for (source, target), _endpoints in self._pairs.items():
                if source == name and target in rank and order.index(target) > order.index(name):
                    rank[target] = max(rank[target], rank[name] + 1)
        deepest = max(rank.values(), default=0)
        first = 1 if len(hosts) < len(self._graph.nodes) else 0
        columns = {name: 0 for name, node in self._graph.nodes.items() if node.outside}
        for name in order:
            level = rank[name]
            if deepest >= COLUMNS:
                level = round(level * (COLUMNS - 1) / deepest)
            columns[name] = first + level
        return columns

    def _order(self, hosts: list[str]) -> list[str]:
        """An order in which few paths lead back, by the greedy rule of Eades, Lin and Smyth."""
        left = dict.fromkeys(hosts)
        head: list[str] = []
        tail: list[str] = []
        weights = {
            pair: len(endpoints)
            for pair, endpoints in self._pairs.items()
            if pair[0] in left and pair[1] in left and pair[0] != pair[1]
        }

        def weight(name: str, end: int) -> int:
            return sum(w for p, w in weights.items() if p[end] == name and p[1 - end] in left)

        while left:
            sinks = [name for name in left if not weight(name, 0)]
            sources = [name for name in left if weight(name, 0) and not weight(name, 1)]
            if sinks:
                name = sinks[-1]
                tail.insert(0, name)
            else:
                inward = {n: weight(n, 1) - weight(n, 0) - self._publicity(n) for n in left}
                name = (sources or sorted(left, key=inward.__getitem__))[0]
                head.append(name)
            del left[name]
        return head + tail

    def _publicity(self, name: str) -> int:
        """A preference for beginning where the internet comes in, in paths that may lead back."""
        return 5 if ("outside public", name) in self._pairs else 0

    # The boxes

    def _plan_lanes(self, columns: dict[str, int]) -> dict[tuple[int, tuple[str, str]], int]:
        """The lane of each pair in the gap before each column that it enters or leaves by."""
        used: dict[int, int] = {}
        lanes: dict[tuple[int, tuple[str, str]], int] = {}
        for pair in self._pairs:
            if pair[0] == pair[1]:
                continue
            leaves, enters = columns[pair[0]] + 1, columns[pair[1]]
            for gap in sorted({leaves, enters}):
                lanes[gap, pair] = used.get(gap, 0)
                used[gap] = lanes[gap, pair] + 1
        return lanes

    def _place(self, columns: dict[str, int]) -> dict[str, _Box]:
        used: dict[int, int] = {}
        for gap, _pair in self._lanes:
            used[gap] = used.get(gap, 0) + 1
        boxes = {}
        x = float(MARGIN)
        self._gaps: dict[int, float] = {}
        last = max(columns.values(), default=0)
        for column in range(last + 2):
            self._gaps[column] = x
            if column:
                x += GAP + LANE * used.get(column, 0)
            names = [name for name in columns if columns[name] == column]
            if not names:
                continue
            width = OUTSIDE_BOX if all(self._graph.nodes[n].outside for n in names) else BOX
            y = float(MARGIN)
            for name in names:
                boxes[name] = box = self._box(self._graph.nodes[name], column, x, y, width)
                y += box.height + GAP
            x += width
        self._width = x + MARGIN
        return boxes

    def _box(self, node: Node, column: int, x: float, y: float, width: float) -> _Box:
        rows = {}
        top = y + HEAD
        names = list(node.rows)
        for number, name in enumerate(names):
            # What has no row of its own shares the last one, which says how many there are.
            line = min(number, MAX_ROWS - 1) if len(names) > MAX_ROWS else number
            rows[name] = top + line * ROW + 13
        shown = min(len(names), MAX_ROWS)
        height = HEAD + shown * ROW + (6 if shown else 2)
        return _Box(node, column, x, y, width, height, rows)

    # The lines

    def _passing(self) -> list[tuple[str, str]]:
        """The pairs whose line can't go straight from one column to the next."""
        return [
            (source, target)
            for source, target in self._pairs
            if source != target and self._boxes[target].column != self._boxes[source].column + 1
        ]

    def _lane(self, gap: int, pair: tuple[str, str]) -> float:
        return self._gaps[gap] + GAP / 2 + LANE * (self._lanes[gap, pair] + 0.5)

    def _lines(self) -> t.Iterator[str]:
        leaving: dict[str, int] = {}
        for pair, endpoints in self._pairs.items():
            if pair[0] == pair[1]:
                continue
            source, target = (self._boxes[name] for name in pair)
            number = leaving.get(pair[0], 0)
            leaving[pair[0]] = number + 1
            start = source.y + 8 + min(number * 5, source.height - 16)
            lane = self._lane(target.column, pair)
            ends = sorted({target.rows[endpoint] for endpoint in endpoints})
            if pair in self._buses:
                bus = self._bottom + LANE * self._buses[pair]
                out = self._lane(source.column + 1, pair)
                trunk = f"M{source.right:g} {start:g}H{out:g}V{bus:g}H{lane:g}V{ends[0]:g}"
            else:
                low, high = min(start, ends[0]), max(start, ends[-1])
                trunk = f"M{source.right:g} {start:g}H{lane:g}M{lane:g} {low:g}V{high:g}"
            kind = "public" if source.node.name == "outside public" else "declared"
            yield f'<path class="line {kind}" d="{trunk}"/>'
            for end in ends:
                those = [e for e in endpoints if target.rows[e] == end]
                closed = any((*pair, e) in self._graph.closed for e in those)
                way = "closed" if closed else kind
                yield (
                    f'<path class="line {way}" marker-end="url(#{way})"'
                    f' d="M{lane:g} {end:g}H{target.x - 2:g}"/>'
                )

    def svg(self) -> str:
        """The picture."""
        parts = [_MARKERS, *self._lines()]
        for box in self._boxes.values():
            parts += _draw_box(box)
        height = self._bottom + LANE * len(self._buses) + MARGIN
        hosts = sum(len(node.hosts) for node in self._graph.nodes.values())
        return _svg(
            self._width,
            height,
            parts,
            "Hosts, their endpoints, and who may reach them",
            f"{counted(hosts, 'host')} and {counted(len(self._graph.paths), 'path')} between them."
            " The table below says the same in words.",
        )


_MARKERS: t.Final = (
    "<defs>"
    + "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9"'
        ' markerUnits="userSpaceOnUse" orient="auto">'
        f'<path class="head {name}" d="{shape}"/></marker>'
        for name, shape in (
            ("declared", "M0 0L8 4L0 8Z"),
            ("public", "M0 0L8 4L0 8Z"),
            ("closed", "M1 1L7 7M7 1L1 7"),
        )
    )
    + "</defs>"
)


def _draw_box(box: _Box) -> t.Iterator[str]:
    node = box.node
    kind = "outside" if node.outside else "host"
    if not node.outside and node.reached < len(node.hosts):
        kind += " unreached"
    yield (
        f'<g class="{kind}"><rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}"'
        f' height="{box.height:g}" rx="6"/>'
    )
    room = (box.width - 20) / CHARACTER
    yield _text(box.x + 10, box.y + 17, node.title, "title", room)
    subtitle, tone = node.subtitle, "small"
    if "unreached" in kind:
        tone = "small lost"
        lost = len(node.hosts) - node.reached
        subtitle = "not reached" if len(node.hosts) == 1 else f"{lost} not reached"
    yield _text(box.x + 10, box.y + 31, subtitle, tone, (box.width - 20) / SMALL_CHARACTER)
    rows = list(node.rows.values())
    more = len(rows) - MAX_ROWS + 1 if len(rows) > MAX_ROWS else 0
    for row in rows[: MAX_ROWS - 1] if more else rows:
        yield from _draw_row(box, row)
    if more:
        y = box.rows[rows[-1].id]
        bad = any(row.state == "fault" for row in rows[-more:])
        yield _text(box.x + 22, y + 4, f"and {more} more endpoints", "fault row" if bad else "row")
    yield "</g>"


def _draw_row(box: _Box, row: Row) -> t.Iterator[str]:
    y = box.rows[row.id]
    symbol = {
        "ok": f'<circle class="ok" cx="{box.x + 13:g}" cy="{y:g}" r="3.5"/>',
        "fault": f'<path class="fault" d="M{box.x + 9:g} {y - 4:g}l8 8m0 -8l-8 8"/>',
    }.get(row.state, f'<circle class="unknown" cx="{box.x + 13:g}" cy="{y:g}" r="3"/>')
    room = (box.width - 32) / CHARACTER
    label = f"{row.port} {row.id}"
    full = f"<title>{html.escape(visible(f'{label}, for {_users(row)}'))}</title>"
    kind = "fault row" if row.state == "fault" else "row"
    yield f"<g>{full}{symbol}{_text(box.x + 22, y + 4, label, kind, room)}"
    room = (box.width - 32) / SMALL_CHARACTER
    yield _text(box.x + 22, y + 16, f"for {_users(row)}", "small", room) + "</g>"


def _users(row: Row) -> str:
    return ", ".join(row.users) if row.users else "this host only"


# --- a matrix ----------------------------------------------------------------------------------


def matrix(graph: Graph) -> str:
    """Who comes down the side, who is reached across the top, the number of endpoints between."""
    comers = [name for name in graph.nodes if any(pair[0] == name for pair in graph.pairs())]
    reached = [name for name, node in graph.nodes.items() if not node.outside]
    side, top = 190, 150
    width = side + CELL * len(reached) + 100
    height = top + CELL * len(comers) + MARGIN
    parts = []
    for number, name in enumerate(reached):
        x = side + CELL * number + 11
        text = _text(0, 0, graph.nodes[name].title, "small", 24)
        parts.append(f'<g transform="translate({x:g} {top - 6}) rotate(-60)">{text}</g>')
    for line, name in enumerate(comers):
        y = top + CELL * line
        parts.append(
            f'<rect class="{"odd" if line % 2 else "even"}" x="0" y="{y}"'
            f' width="{side + CELL * len(reached)}" height="{CELL}"/>'
        )
        parts.append(_text(side - 8, y + 12, graph.nodes[name].title, "small", 28, at="end"))
    for (source, target), endpoints in graph.pairs().items():
        x, y = side + CELL * reached.index(target), top + CELL * comers.index(source)
        closed = any((source, target, endpoint) in graph.closed for endpoint in endpoints)
        kind = "closed" if closed else "public" if source == "outside public" else "open"
        title = (
            f"{graph.nodes[source].title} to {graph.nodes[target].title}:"
            f" {counted(len(endpoints), 'endpoint')}"
        )
        parts.append(
            f'<g class="cell {kind}"><title>{html.escape(visible(title))}</title>'
            f'<rect x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{CELL - 2}" rx="2"/>'
            + _text(x + CELL / 2, y + 12, str(len(endpoints)), "count", at="middle")
            + "</g>"
        )
    return _svg(
        width,
        height,
        parts,
        "Who may reach whom",
        f"{counted(len(comers), 'row')} of those who come, {counted(len(reached), 'column')} of"
        " those who are reached; a number is that of endpoints. The port tables say the same.",
    )
