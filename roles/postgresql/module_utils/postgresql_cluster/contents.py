# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# ruff: noqa: S608 - texts of a task are literals by `quote`, and the server quotes names

"""What is in a database: its extensions, its schemas, and what roles may do there.

The server itself says which statements are missing, so names are quoted by it alone, and a further
run finds nothing. Nothing is dropped or revoked.
"""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.prsnl.ports.plugins.module_utils.host.programs import Runner
from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed

from .host import ClusterError

Plain = t.Mapping[str, t.Any]

# What may be granted, and what ALL is. Source: chapter 5.7 of the manual of PostgreSQL 16.
PRIVILEGES: t.Mapping[str, tuple[str, ...]] = {
    "database": ("CREATE", "CONNECT", "TEMPORARY"),
    "schema": ("USAGE", "CREATE"),
    "table": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"),
    "sequence": ("USAGE", "SELECT", "UPDATE"),
    "function": ("EXECUTE",),
}
# Kinds of pg_class, and the letters and words of ALTER DEFAULT PRIVILEGES.
_RELATIONS = {"table": "rpvmf", "sequence": "S"}
_FUTURE = {"table": ("r", "TABLES"), "sequence": ("S", "SEQUENCES"), "function": ("f", "ROUTINES")}
_BEGIN = "SET standard_conforming_strings = on;\n"
# For questions only: a function's name is then written with its schema. An extension that is made
# under it would be in that schema.
_CATALOGUE = "SET search_path = pg_catalog;\n"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
DO, UNKNOWN, ABSENT = "do", "unknown", "absent"


@dataclass(frozen=True)
class Answer:
    """What a database lacks.

    ``statements`` are SQL, in their order. ``unknown`` are extensions that the server can't make,
    ``absent`` names of objects that aren't there.
    """

    statements: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def faults(databases: t.Iterable[Plain]) -> list[str]:
    """Return what is wrong with databases as a task has them."""
    found = []
    for database in databases:
        place = f"database {database['name']}"
        for text in _texts(database):
            if not text or _CONTROL.search(text):
                found.append(f"{place}: found the name {text!r}, allowed is text on one line")
        for entry in database.get("privileges") or ():
            kind = entry.get("on") or "table"
            if kind not in PRIVILEGES:
                found.append(f"{place}: on: found {kind}, allowed are {listed(PRIVILEGES)}")
                continue
            for name in entry["privileges"]:
                if name.upper() not in (*PRIVILEGES[kind], "ALL"):
                    found.append(
                        f"{place}: found the privilege {name} on a {kind}, allowed are"
                        f" {listed(PRIVILEGES[kind])}, and ALL"
                    )
            if entry.get("objects") and kind not in _RELATIONS:
                found.append(f"{place}: objects: allowed with on: table and on: sequence only")
            if entry.get("future") and kind not in _FUTURE:
                found.append(f"{place}: future: not allowed with on: {kind}")
    return found


def _texts(database: Plain) -> t.Iterator[str]:
    yield database["name"]
    for extension in database.get("extensions") or ():
        yield extension["name"]
    for schema in database.get("schemas") or ():
        yield schema["name"]
    for entry in database.get("privileges") or ():
        yield from (*entry["roles"], *(entry.get("schemas") or ()), *(entry.get("objects") or ()))


def quote(text: t.Any) -> str:
    """Return a text as a literal of SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def question(database: Plain) -> str:
    """Return the SQL that asks what a database lacks: a JSON array of a kind and a text a line."""
    parts = [*_schemas(database), *_extensions(database), *_privileges(database)]
    numbered = [
        f"SELECT {number} AS n, kind, told FROM ({part}) AS part(kind, told)"
        for number, part in enumerate(parts)
    ]
    union = "\nUNION ALL\n".join(numbered)
    begin = f"{_BEGIN}{_CATALOGUE}"
    return f"{begin}SELECT json_build_array(kind, told) FROM (\n{union}\n) AS a ORDER BY n, told;\n"


def _schemas(database: Plain) -> t.Iterator[str]:
    for schema in database.get("schemas") or ():
        name, owner = quote(schema["name"]), quote(schema.get("owner") or database["owner"])
        there = f"SELECT FROM pg_namespace WHERE nspname = {name}"
        yield (
            f"SELECT '{DO}', format('CREATE SCHEMA %I AUTHORIZATION %I', {name}, {owner})"
            f" WHERE NOT EXISTS ({there})"
        )
        if schema.get("owner"):
            yield (
                f"SELECT '{DO}', format('ALTER SCHEMA %I OWNER TO %I', {name}, {owner}) WHERE"
                f" EXISTS ({there} AND pg_get_userbyid(nspowner) <> {owner})"
            )


def _extensions(database: Plain) -> t.Iterator[str]:
    for extension in database.get("extensions") or ():
        name = quote(extension["name"])
        version, schema = extension.get("version"), extension.get("schema")
        there = f"SELECT FROM pg_extension WHERE extname = {name}"
        known = f"SELECT FROM pg_available_extensions WHERE name = {name}"
        words, values = "CREATE EXTENSION %I", [name]
        if schema:
            words, values = f"{words} SCHEMA %I", [*values, quote(schema)]
        if version:
            words, values = f"{words} VERSION %L", [*values, quote(version)]
        yield f"SELECT '{UNKNOWN}', {name} WHERE NOT EXISTS ({there}) AND NOT EXISTS ({known})"
        yield (
            f"SELECT '{DO}', format('{words}', {', '.join(values)}) WHERE NOT EXISTS ({there})"
            f" AND EXISTS ({known})"
        )
        if version:
            yield (
                f"SELECT '{DO}', format('ALTER EXTENSION %I UPDATE TO %L', {name},"
                f" {quote(version)}) WHERE EXISTS ({there} AND extversion <> {quote(version)})"
            )


def _privileges(database: Plain) -> t.Iterator[str]:
    for entry in database.get("privileges") or ():
        kind = entry.get("on") or "table"
        names = [name.upper() for name in entry["privileges"]]
        schemas = entry.get("schemas") or ["public"]
        if kind in _RELATIONS:
            yield from _absent(entry, kind, schemas)
        for role in entry["roles"]:
            for privilege in PRIVILEGES[kind] if "ALL" in names else names:
                yield from _grants(entry, kind, schemas, role, privilege)
                if entry.get("future"):
                    yield from _futures(database["owner"], kind, schemas, role, privilege)


def _grants(
    entry: Plain, kind: str, schemas: t.Sequence[str], role: str, privilege: str
) -> t.Iterator[str]:
    # A role that isn't there has no number, and the statement itself says so.
    who = f"(SELECT oid FROM pg_roles WHERE rolname = {quote(role)})"

    def has(thing: str) -> str:
        return f"has_{kind}_privilege({who}, {thing}, {quote(privilege)})"

    if kind == "database":
        yield (
            f"SELECT '{DO}', format('GRANT {privilege} ON DATABASE %I TO %I', current_database(),"
            f" {quote(role)}) WHERE {has('current_database()')} IS NOT TRUE"
        )
    elif kind == "schema":
        for schema in schemas:
            yield (
                f"SELECT '{DO}', format('GRANT {privilege} ON SCHEMA %I TO %I', {quote(schema)},"
                f" {quote(role)}) WHERE NOT EXISTS (SELECT FROM pg_namespace n WHERE nspname ="
                f" {quote(schema)} AND {has('n.oid')})"
            )
    elif kind == "function":
        yield (
            f"SELECT '{DO}', format('GRANT {privilege} ON ROUTINE %s TO %I', p.oid::regprocedure,"
            f" {quote(role)}) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            f" WHERE nspname IN ({_literals(schemas)}) AND {has('p.oid')} IS NOT TRUE"
        )
    else:
        objects = entry.get("objects") or ()
        only = f" AND relname IN ({_literals(objects)})" if objects else ""
        kinds = ", ".join(map(quote, _RELATIONS[kind]))
        # Whether a sequence is asked for its privilege depends on the planner's order otherwise.
        yield (
            f"SELECT '{DO}', format('GRANT {privilege} ON {kind.upper()} %I.%I TO %I', nspname,"
            f" relname, {quote(role)}) FROM pg_class c JOIN pg_namespace n ON n.oid ="
            f" c.relnamespace WHERE nspname IN ({_literals(schemas)}){only} AND"
            f" CASE WHEN relkind IN ({kinds}) THEN {has('c.oid')} IS NOT TRUE ELSE false END"
        )


def _absent(entry: Plain, kind: str, schemas: t.Sequence[str]) -> t.Iterator[str]:
    kinds = ", ".join(map(quote, _RELATIONS[kind]))
    for name in entry.get("objects") or ():
        yield (
            f"SELECT '{ABSENT}', {quote(f'{kind} {name}')} WHERE NOT EXISTS (SELECT FROM pg_class c"
            f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relname = {quote(name)} AND"
            f" nspname IN ({_literals(schemas)}) AND relkind IN ({kinds}))"
        )


def _futures(
    owner: str, kind: str, schemas: t.Sequence[str], role: str, privilege: str
) -> t.Iterator[str]:
    letter, words = _FUTURE[kind]
    for schema in schemas:
        yield (
            f"SELECT '{DO}', format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT"
            f" {privilege} ON {words} TO %I', {quote(owner)}, {quote(schema)}, {quote(role)}) WHERE"
            " NOT EXISTS (SELECT FROM pg_default_acl d JOIN pg_namespace n ON n.oid ="
            " d.defaclnamespace CROSS JOIN aclexplode(d.defaclacl) a WHERE"
            f" pg_get_userbyid(d.defaclrole) = {quote(owner)} AND nspname = {quote(schema)} AND"
            f" d.defaclobjtype = '{letter}' AND pg_get_userbyid(a.grantee) = {quote(role)} AND"
            f" a.privilege_type = '{privilege}')"
        )


def _literals(names: t.Iterable[str]) -> str:
    return ", ".join(map(quote, names))


def has_contents(database: Plain) -> bool:
    """Tell whether anything is wanted in a database."""
    return any(database.get(key) for key in ("extensions", "schemas", "privileges"))


class Databases:
    """The databases of a server.

    :param psql: starts psql as the superuser, and reads SQL from its input.
    :param run: starts a program; returns its exit code, output and errors.
    """

    def __init__(self, psql: t.Sequence[str], run: Runner) -> None:
        self._psql = list(psql)
        self._run = run

    def names(self) -> set[str]:
        """Return the names of the databases.

        :raises ClusterError: the server doesn't answer.
        """
        told = self._ask("postgres", "SELECT to_json(datname) FROM pg_database;\n")
        return {json.loads(line) for line in told.splitlines()}

    def look(self, database: Plain) -> Answer:
        """Return what a database lacks.

        :raises ClusterError: the server doesn't answer.
        """
        told: dict[str, list[str]] = {DO: [], UNKNOWN: [], ABSENT: []}
        for line in self._ask(database["name"], question(database)).splitlines():
            kind, text = json.loads(line)
            if text not in told[kind]:
                told[kind].append(text)
        return Answer(*(tuple(told[kind]) for kind in (DO, UNKNOWN, ABSENT)))

    def change(self, name: str, statements: t.Iterable[str]) -> None:
        """Do all of this in a database, or nothing.

        :raises ClusterError: the server refuses some of it.
        """
        text = "".join(f"{statement};\n" for statement in statements)
        self._ask(name, f"{_BEGIN}BEGIN;\n{text}COMMIT;\n")

    def _ask(self, name: str, text: str) -> str:
        escaped = name.replace("\\", "\\\\").replace("'", "\\'")
        words = [*self._psql, "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", f"dbname='{escaped}'"]
        code, out, err = self._run([*words, "-f", "-"], text)
        if code != 0:
            raise ClusterError(
                f"database {name}: {err.strip() or out.strip() or f'psql ended with {code}'}"
            )
        return out
