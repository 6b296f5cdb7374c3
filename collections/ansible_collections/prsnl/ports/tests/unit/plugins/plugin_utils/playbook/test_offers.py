# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Offers of several roles become one, and what is wrong with a file is told with its line."""

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.prsnl.ports.plugins.plugin_utils.playbook import offers

SCHEMA = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "required": ["title"],
        "additionalProperties": False,
        "properties": {"title": {"type": "string", "errorMessage": "a text"}},
    },
}


def write(root: pathlib.Path, role: str, content: str) -> pathlib.Path:
    """The file of titles of a role."""
    file = root / role / "offers" / "titles.yml"
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="utf-8")
    return file


def test_the_first_role_of_a_name_counts(tmp_path: pathlib.Path) -> None:
    """In the order of the services, which may have no role or no such file."""
    (tmp_path / "a" / "empty").mkdir(parents=True)
    one = write(tmp_path / "a", "one", "- 1")
    write(tmp_path / "b", "one", "- 9")
    write(tmp_path / "b", "empty", "- 9")
    two = write(tmp_path / "b", "two", "- 2")
    roots = (tmp_path / "a", tmp_path / "b", tmp_path / "missing")
    services = ("two", "none", "empty", "one")
    assert offers.offer_files("titles", services, roots) == [two, one]
    assert offers.merged([two, one]) == [2, 1]
    assert offers.merged([]) is None


@pytest.mark.parametrize("kind", ["", "../x", "A", "a-b", ".a"])
def test_a_kind_is_a_word(kind: str) -> None:
    with pytest.raises(offers.OfferError, match="as a kind of offers, allowed are lower-case"):
        offers.offer_files(kind, (), ())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("shop: [\n", "2: (root): not YAML:"),
        ("", "1: found nothing, allowed are named or listed offers"),
        ("# Nothing\n", "1: found nothing, allowed are named"),
        ("{}\n", "1: found an empty mapping, allowed are named or listed offers"),
        ("text\n", "1: (root): found 'text', allowed is a mapping"),
        ("shop:\n  title: Shop\nshop: 1", "3: shop: found the key 'shop' again"),
        ("- title: Shop\n", "1: (root): found a list, allowed is a mapping"),
        ("a:\n  title: A\nb:\n  title:\n", "4: b.title: found nothing, allowed is a text"),
        ("b:\n  title: B\n  titel: B\n", "3: b.titel: found the unknown key 'titel', allowed"),
    ],
)
def test_faults_have_their_line(tmp_path: pathlib.Path, content: str, message: str) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA), encoding="utf-8")
    file = write(tmp_path, "shop", content)
    with pytest.raises(offers.OfferError) as caught:
        offers.merged([file], str(schema))
    assert str(caught.value).startswith(f"{file}:{message}")


def test_two_offers_of_one_name(tmp_path: pathlib.Path) -> None:
    """Both files are told, instead of one that is lost."""
    files = [write(tmp_path, role, "a: 1\n") for role in ("one", "two")]
    with pytest.raises(offers.OfferError) as caught:
        offers.merged(files)
    assert str(caught.value) == f"{files[1]}: 'a' is in {files[0]} as well; rename one of them"


def test_files_of_one_name_have_one_form(tmp_path: pathlib.Path) -> None:
    files = [write(tmp_path, "one", "a: 1\n"), write(tmp_path, "two", "- 1\n")]
    with pytest.raises(
        offers.OfferError, match=r"two/offers/titles\.yml: found a list, allowed is"
    ):
        offers.merged(files)


def test_a_folder_is_no_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "titles.yml").mkdir()
    with pytest.raises(offers.OfferError, match="it can't be read: Is a directory"):
        offers.merged([tmp_path / "titles.yml"])
