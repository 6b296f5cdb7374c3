# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a handoff in a real browser: on a desk, on a phone, in the dark, on paper."""

from __future__ import annotations

import itertools
import json
import pathlib
import typing as t

import chromium
import pytest
import test_page as pages
from ansible_collections.prsnl.ports.plugins.plugin_utils.handoff.evidence import Evidence
from simulated import large, small

WHY_NOT = chromium.install()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

SIZES = pytest.mark.parametrize("width", [1280, 390])
DARK = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])


class Sites(t.NamedTuple):
    """Pages, and what they were made of."""

    evidence: dict[str, Evidence]
    files: dict[str, pathlib.Path]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Sites:
    folder = tmp_path_factory.mktemp("pages")
    evidence = {
        "well": small().evidence(),
        "broken": pages.broken().evidence(),
        "hostile": pages.poisoned(pages.broken().evidence()),
        "large": large().evidence(),
    }
    files = {}
    for name, data in evidence.items():
        files[name] = folder / f"{name}.html"
        files[name].write_text(pages.page(data, evidence["well"]), encoding="utf-8")
    files["alone"] = folder / "alone.html"
    files["alone"].write_text(pages.page(evidence["broken"], evidence["well"], "web_0"))
    evidence["alone"] = evidence["broken"]
    return Sites(evidence, files)


@pytest.fixture(scope="module")
def browser() -> t.Iterator[chromium.Browser]:
    found = chromium.Browser()
    yield found
    found.close()


# Everything that is wider than the screen, except inside of what scrolls by itself.
OVERFLOW = """
(() => {
  const wide = [];
  if (document.documentElement.scrollWidth > innerWidth)
    wide.push(`page ${document.documentElement.scrollWidth} of ${innerWidth}`);
  for (const element of document.body.querySelectorAll('*')) {
    if (element.closest('.scroll, .skip, thead, svg')) continue;
    const box = element.getBoundingClientRect();
    if (box.width && (box.right > innerWidth + 1 || box.left < -1))
      wide.push(`${element.tagName}.${element.className} ${box.left} ${box.right}`);
  }
  return wide.slice(0, 5);
})()
"""


@SIZES
@pytest.mark.parametrize("name", ["well", "broken", "hostile", "large", "alone"])
def test_nothing_is_wider_than_the_screen(
    browser: chromium.Browser, sites: Sites, name: str, width: int
) -> None:
    browser.open(sites.files[name], width=width)
    assert browser.run(OVERFLOW) == []
    assert browser.console == []


@SIZES
@pytest.mark.parametrize("name", ["broken", "large"])
def test_every_registered_endpoint_is_seen(
    browser: chromium.Browser, sites: Sites, name: str, width: int
) -> None:
    browser.open(sites.files[name], width=width)
    seen = browser.run(
        "[...document.querySelectorAll('[data-endpoint]')]"
        ".filter(e => e.offsetHeight > 10)"
        ".filter(e => e.innerText.includes(e.dataset.endpoint.split('.')[1]))"
        ".map(e => e.dataset.endpoint)"
    )
    evidence = sites.evidence[name]
    assert set(seen) == set(evidence.endpoints)
    planned = sum(len(host["plan"]) for host in evidence.hosts.values())
    assert len(seen) == planned + len(evidence.unplaced)


# Contrast by WCAG 2.2 (1.4.3), of every text that is seen, against what is painted behind it.
CONTRAST = """
(() => {
  const parse = color => (color.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = element => {
    for (let node = element; node; node = node.parentElement) {
      const style = getComputedStyle(node);
      const rect = node.tagName === 'g' && node.querySelector(':scope > rect');
      if (rect && rect !== element) return parse(getComputedStyle(rect).fill);
      const color = parse(style.backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const bad = new Map();
  let count = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest('title, desc, style')) continue;
    const style = getComputedStyle(element);
    const isSvg = element instanceof SVGElement;
    const size = parseFloat(style.fontSize), bold = parseInt(style.fontWeight) >= 700;
    const needed = size >= 24 || (size >= 18.66 && bold) ? 3 : 4.5;
    const found = ratio(parse(isSvg ? style.fill : style.color), behind(element));
    count += 1;
    if (found < needed)
      bad.set(`${element.tagName}.${element.getAttribute('class')}`, found.toFixed(2));
  }
  return {count, bad: [...bad]};
})()
"""


@SIZES
@DARK
def test_contrast_is_enough(
    browser: chromium.Browser, sites: Sites, width: int, dark: bool
) -> None:
    browser.open(sites.files["broken"], width=width, dark=dark)
    found = browser.run(CONTRAST)
    assert found["bad"] == []
    assert found["count"] > 300
    scheme = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (scheme == "rgb(244, 245, 247)") is not dark


def test_contrast_of_a_matrix_and_on_paper(browser: chromium.Browser, sites: Sites) -> None:
    browser.open(sites.files["large"])
    assert browser.run(CONTRAST)["bad"] == []
    browser.open(sites.files["broken"], dark=True)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run(CONTRAST)["bad"] == []
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_contrast_can_fail(browser: chromium.Browser, sites: Sites, tmp_path: pathlib.Path) -> None:
    """What measures it finds a text that is too pale, and a line of the picture's."""
    text = sites.files["broken"].read_text(encoding="utf-8")
    file = tmp_path / "pale.html"
    pale = ".verdict { color: #fbb !important } svg text.row { fill: #999 !important }"
    file.write_text(text.replace("</style>", f"{pale}</style>", 1), encoding="utf-8")
    browser.open(file)
    assert {name for name, _ratio in browser.run(CONTRAST)["bad"]} == {
        "P.verdict",
        "text.row",
        "text.fault row",
    }


def test_it_is_read_without_scripts(browser: chromium.Browser, sites: Sites) -> None:
    browser.open(sites.files["broken"], scripts=False)
    assert browser.run("document.scripts.length") == 0
    text = browser.run("document.body.innerText")
    for said in ("Not healthy", "ops01: could not be reached", "ssh ops01 uptime", "Sign-off"):
        assert said in text
    # Nothing waits to be unfolded.
    assert browser.run("document.querySelectorAll('details, [hidden]').length") == 0


def test_links_lead_to_what_they_name(browser: chromium.Browser, sites: Sites) -> None:
    browser.open(sites.files["broken"])
    links = browser.run("[...document.links].map(a => a.getAttribute('href'))")
    dead = browser.run(
        "[...document.links].map(a => a.getAttribute('href')).filter(h => h.startsWith('#'))"
        ".filter(h => !document.getElementById(decodeURIComponent(h.slice(1))))"
    )
    assert dead == []
    assert len(links) > 100
    # Some are followed.
    for selector in ("nav a[href='#runbooks']", "#health .from a", "#ports tbody th a"):
        browser.open(sites.files["broken"])
        target = browser.run(f"document.querySelector({json.dumps(selector)}).getAttribute('href')")
        browser.run(
            "document.documentElement.style.scrollBehavior = 'auto';"
            f"document.querySelector({json.dumps(selector)}).click()"
        )
        top = browser.run(
            f"document.getElementById({json.dumps(target[1:])}).getBoundingClientRect().top"
        )
        assert browser.run("location.hash") == target
        assert -5 <= top < 900, selector


def roles(browser: chromium.Browser) -> list[tuple[str, str]]:
    """Role and name of everything that assistive technology is told."""
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]


@SIZES
def test_landmarks_headings_and_tables_for_a_screen_reader(
    browser: chromium.Browser, sites: Sites, width: int
) -> None:
    browser.open(sites.files["broken"], width=width)
    browser.call("Accessibility.enable")
    found = roles(browser)
    browser.call("Accessibility.disable")
    for landmark in ("banner", "main", "contentinfo"):
        assert [role for role, _name in found].count(landmark) == 1, landmark
    assert ("navigation", "Contents") in found
    assert ("region", "Who may talk to whom") in found
    assert ("image", "Hosts, their endpoints, and who may reach them") in found
    # Rows that are shown as cards are rows of a table still.
    kinds = [role for role, _name in found]
    tables = browser.run("document.querySelectorAll('table').length")
    assert kinds.count("table") == tables
    assert kinds.count("rowheader") > 20
    assert kinds.count("columnheader") > 20
    assert all(name for role, name in found if role in ("table", "link", "heading", "region"))
    levels = browser.run(
        "[...document.querySelectorAll('h1, h2, h3, h4, h5')].map(h => Number(h.tagName[1]))"
    )
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert browser.run("document.documentElement.lang") == "en"
    assert browser.run("document.title").startswith("Not healthy: Simulated")


def test_the_keyboard_gets_everywhere_in_the_order_of_the_page(
    browser: chromium.Browser, sites: Sites
) -> None:
    browser.open(sites.files["alone"])
    browser.run(
        "window.order = [...document.querySelectorAll('a[href], [tabindex]')];document.body.focus()"
    )
    total = browser.run("order.length")
    assert browser.run("document.querySelectorAll('[tabindex]:not([tabindex=\"0\"])').length") == 0
    reached = []
    for _index in range(total):
        browser.press("Tab")
        reached.append(browser.run("order.indexOf(document.activeElement)"))
        # Where it is can be seen.
        outline = browser.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
    assert reached == list(range(total))
    # The first stop leads past the navigation.
    browser.open(sites.files["alone"])
    browser.press("Tab")
    assert browser.run("document.activeElement.textContent") == "Skip to the page"
    assert browser.run("document.activeElement.getBoundingClientRect().left") >= 0
    browser.press("Enter")
    assert browser.run("location.hash") == "#main"
    browser.press("Tab")
    assert browser.run("document.activeElement.closest('main') !== null")


def test_the_picture_scrolls_by_itself_on_a_phone(browser: chromium.Browser, sites: Sites) -> None:
    browser.open(sites.files["large"], width=390)
    box = browser.run(
        "(() => { const b = document.querySelector('.scroll');"
        " return [b.scrollWidth, b.clientWidth, b.tabIndex, b.getAttribute('aria-label')] })()"
    )
    assert box[0] > 2 * box[1]
    assert box[2:] == [0, "Picture, can be scrolled"]
    # Its texts keep their size there.
    assert browser.run("document.querySelector('svg text.row').getBoundingClientRect().height") > 9


def test_all_of_it_is_on_paper(browser: chromium.Browser, sites: Sites) -> None:
    browser.open(sites.files["broken"])
    data = browser.pdf()
    assert data.startswith(b"%PDF")
    browser.call("Emulation.setEmulatedMedia", media="print")
    # A4 without its margins, in CSS pixels.
    browser.call(
        "Emulation.setDeviceMetricsOverride",
        width=688,
        height=900,
        deviceScaleFactor=1,
        mobile=False,
    )
    hidden = browser.run(
        "[...document.querySelectorAll('main *')].filter(e => !e.checkVisibility()"
        " && !e.closest('svg, .jump, colgroup, thead')).map(e => e.tagName)"
    )
    assert hidden == []
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.run(OVERFLOW) == []
    # Columns, not the cards of a phone, with their heads on every page.
    assert browser.run("getComputedStyle(document.querySelector('.cards td')).display") == (
        "table-cell"
    )
    head = "getComputedStyle(document.querySelector('.cards thead'))"
    assert browser.run(f"{head}.display") == "table-header-group"
    assert browser.run(f"{head}.position") == "static"
