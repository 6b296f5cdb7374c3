# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of a page, filled. What is put into them is data: escaped, and nothing invisible."""

from __future__ import annotations

import os
import re
import typing as t

import jinja2
import markupsafe
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.text import block, visible

HTML: t.Final = "index.html.j2"
MARKDOWN: t.Final = "handoff.md.j2"
GUIDE: t.Final = "ports.md.j2"
# What fits into the narrowest column.
LONG_NAME: t.Final = 14
STYLE: t.Final = "style.css"
_MARKDOWN: t.Final = re.compile(r"([\\`*_{}\[\]<>#|~&!])")

Plain = dict[str, t.Any]


class _Raw(str):
    """Text that a template's filter has made safe."""

    __slots__ = ()


class Templates:
    """The templates of a folder."""

    def __init__(self, folder: str) -> None:
        loader = jinja2.FileSystemLoader(folder)
        options: Plain = {
            "loader": loader,
            "undefined": jinja2.StrictUndefined,
            "trim_blocks": True,
            "lstrip_blocks": True,
            "keep_trailing_newline": True,
        }
        self._html = jinja2.Environment(autoescape=True, finalize=_finalize_html, **options)
        self._html.filters |= {"block": _html_block, "breakable": _html_breakable}
        # Markdown has escapes of its own.
        self._markdown = jinja2.Environment(
            autoescape=False,  # noqa: S701
            finalize=_finalize_markdown,
            **options,
        )
        self._markdown.filters |= {"code": _markdown_code, "fence": _markdown_fence, "raw": _Raw}
        with open(os.path.join(folder, STYLE), encoding="utf-8") as file:
            self._style = file.read()

    def html(self, values: Plain, picture: str) -> str:
        """A page that needs nothing else. `picture` is SVG."""
        # Both are this collection's own, and the picture's texts were escaped when it was drawn.
        return self._html.get_template(HTML).render(
            values,
            style=markupsafe.Markup(self._style),  # noqa: S704
            picture=markupsafe.Markup(picture),  # noqa: S704
        )

    def markdown(self, values: Plain, name: str = MARKDOWN) -> str:
        """The same for those who read Markdown; runs of empty lines become one."""
        text = self._markdown.get_template(name).render(values)
        return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def _finalize_html(value: t.Any) -> t.Any:
    if isinstance(value, str) and not isinstance(value, markupsafe.Markup):
        return visible(value)
    return value


def _html_block(text: str) -> markupsafe.Markup:
    return markupsafe.escape(block(text))


def _html_breakable(text: t.Any) -> markupsafe.Markup:
    """A long name, which may be broken after its dots and the like."""
    shown = visible(text)
    escaped = markupsafe.escape(shown)
    if len(shown) <= LONG_NAME:
        return escaped
    # Every piece is escaped already.
    return markupsafe.Markup(re.sub(r"(?<=[._/:@-])(?=\w)", "<wbr>", escaped))  # noqa: S704


def _finalize_markdown(value: t.Any) -> t.Any:
    if isinstance(value, str) and not isinstance(value, _Raw):
        return _MARKDOWN.sub(r"\\\1", visible(value))
    return value


def _markdown_code(text: t.Any) -> _Raw:
    """Text as code within a line, also within a table."""
    shown = visible(text).replace("|", "\\|")
    ticks = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return _Raw(f"{ticks}{pad}{shown}{pad}{ticks}")


def _markdown_fence(lines: str | t.Iterable[str]) -> _Raw:
    """Lines as a block of code."""
    text = lines if isinstance(lines, str) else "\n".join(map(visible, lines))
    shown = block(text)
    ticks = "`" * max(3, max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    return _Raw(f"{ticks}\n{shown}\n{ticks}")
