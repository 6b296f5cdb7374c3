# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the server and what is done with its answers; molecule/native has a real one."""

from __future__ import annotations

import json
import typing as t

import pytest
from postgresql_cluster.contents import Answer, Databases, faults, has_contents, question, quote
from postgresql_cluster.host import ClusterError

DATABASE: dict[str, t.Any] = {"name": "shop", "owner": "shop"}


class Server:
    """A psql that notes its input, and answers with the given lines."""

    def __init__(self, *lines: t.Any, error: str = "") -> None:
        self.out = "".join(f"{json.dumps(line)}\n" for line in lines)
        self.error = error
        self.commands: list[list[str]] = []
        self.inputs: list[str] = []

    def run(self, command: t.Sequence[str], stdin: str | None = None) -> tuple[int, str, str]:
        self.commands.append(list(command))
        self.inputs.append(stdin or "")
        return (3, "", self.error) if self.error else (0, self.out, "")


def test_each_thing_is_done_once_and_in_order() -> None:
    told = [["do", "A"], ["absent", "table x"], ["do", "B"], ["do", "A"], ["unknown", "vector"]]
    server = Server(*told)
    answer = Databases(["psql"], server.run).look({**DATABASE, "extensions": [{"name": "vector"}]})
    assert answer == Answer(("A", "B"), ("vector",), ("table x",))


def test_a_change_is_one_transaction() -> None:
    server = Server()
    Databases(["psql"], server.run).change("shop", ["A", "B"])
    assert server.inputs[0].endswith("BEGIN;\nA;\nB;\nCOMMIT;\n")
    # Else an extension would be made in the catalogue's schema.
    assert "search_path" not in server.inputs[0]


def test_a_name_is_no_connection_string() -> None:
    server = Server()
    Databases(["psql"], server.run).change("host=x' y\\", ["A"])
    words = server.commands[0]
    assert words[words.index("-d") + 1] == r"dbname='host=x\' y\\'"


def test_what_the_server_says_is_told() -> None:
    server = Server(error='ERROR:  role "nobody" does not exist\n')
    with pytest.raises(ClusterError, match='database shop: ERROR:  role "nobody" does not exist'):
        Databases(["psql"], server.run).look({**DATABASE, "schemas": [{"name": "a"}]})


def test_texts_are_literals() -> None:
    assert quote("it's") == "'it''s'"
    text = question({**DATABASE, "schemas": [{"name": "a'; DROP TABLE b; --"}]})
    assert "'a''; DROP TABLE b; --'" in text


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"privileges": ["SELCT"]}, "found the privilege SELCT on a table, allowed are SELECT"),
        ({"privileges": ["USAGE"]}, "found the privilege USAGE on a table"),
        ({"on": "view"}, "on: found view"),
        ({"on": "schema", "privileges": ["USAGE"], "objects": ["a"]}, "objects: allowed with"),
        ({"on": "database", "privileges": ["ALL"], "future": True}, "future: not allowed"),
        ({"objects": ["a\nb"]}, "found the name"),
        ({"roles": [""]}, "found the name ''"),
    ],
)
def test_what_can_not_be_granted(entry: dict[str, t.Any], told: str) -> None:
    whole = {"roles": ["reports"], "privileges": ["SELECT"], **entry}
    (fault,) = faults([{**DATABASE, "privileges": [whole]}])
    assert fault.startswith("database shop: ")
    assert told in fault


def test_what_is_right_has_no_fault() -> None:
    entries = [
        {"roles": ["a"], "privileges": ["select", "ALL"], "future": True, "objects": ["t"]},
        {"roles": ["a"], "privileges": ["EXECUTE"], "on": "function", "future": True},
    ]
    assert faults([{**DATABASE, "privileges": entries}]) == []
    assert not has_contents(DATABASE)
    assert has_contents({**DATABASE, "privileges": entries})
