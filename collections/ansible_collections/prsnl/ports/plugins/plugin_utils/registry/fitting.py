# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether data fits a JSON Schema, which it nearly always does.

What doesn't fit is for jsonschema to tell in words; importing that takes longer than all the rest
of an answer, and so does its way through a large registry. Here are the keywords that our schemas
use. Any other one, and a value that JSON Schema compares in a way of its own, is `UnsureError`.
"""

from __future__ import annotations

import functools
import json
import re
import typing as t

_Schema = dict[str, t.Any]
_Check = t.Callable[[t.Any], bool]

_TYPES: t.Final[dict[str, _Check]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}
# What says nothing about data.
_NOTES: t.Final = frozenset(("$defs", "$schema", "title", "description", "default", "errorMessage"))


class UnsureError(Exception):
    """A schema or a value that isn't known well enough here."""


class Fitting:
    """A schema; `resolve` gives the schema of a reference."""

    def __init__(self, schema: _Schema, resolve: t.Callable[[str], _Schema]) -> None:
        self._resolve = resolve
        self._checks: dict[int, _Check] = {}
        self._fits = self._check(schema)

    def fits(self, data: t.Any) -> bool:
        """Whether data surely fits."""
        try:
            return self._fits(data)
        except (UnsureError, RecursionError):
            return False

    def _check(self, schema: t.Any) -> _Check:
        """What tells whether a value fits a part of the schema."""
        if isinstance(schema, bool):
            return lambda _value: schema
        known = self._checks.get(id(schema))
        if known is not None:
            return known
        checks: list[_Check] = []
        # It may refer to itself.
        self._checks[id(schema)] = lambda value: all(check(value) for check in checks)
        for keyword in schema:
            # These are told with the keyword that they belong to.
            if keyword in _NOTES or keyword in ("then", "else", "additionalProperties"):
                continue
            make = getattr(self, f"_{keyword.strip('$')}", _unsure)
            checks.append(make(schema[keyword], schema))
        if "additionalProperties" in schema and "properties" not in schema:
            checks.append(self._properties({}, schema))
        return self._checks[id(schema)]

    def _ref(self, reference: str, _schema: _Schema) -> _Check:
        return self._check(self._resolve(reference))

    def _type(self, names: str | list[str], _schema: _Schema) -> _Check:
        checks = [
            _TYPES.get(name, _unsure()) for name in ([names] if isinstance(names, str) else names)
        ]
        return lambda value: any(check(value) for check in checks)

    def _enum(self, values: list[t.Any], _schema: _Schema) -> _Check:
        return lambda value: any(_same(value, one) for one in values)

    def _const(self, one: t.Any, _schema: _Schema) -> _Check:
        return lambda value: _same(value, one)

    def _pattern(self, regex: str, _schema: _Schema) -> _Check:
        match = re.compile(regex).fullmatch
        return lambda value: not isinstance(value, str) or match(value) is not None

    def _minLength(self, least: int, _schema: _Schema) -> _Check:  # noqa: N802
        return lambda value: not isinstance(value, str) or len(value) >= least

    def _maxLength(self, most: int, _schema: _Schema) -> _Check:  # noqa: N802
        return lambda value: not isinstance(value, str) or len(value) <= most

    def _minimum(self, least: int, _schema: _Schema) -> _Check:
        return lambda value: not _is_number(value) or value >= least

    def _maximum(self, most: int, _schema: _Schema) -> _Check:
        return lambda value: not _is_number(value) or value <= most

    def _items(self, schema: t.Any, _schema: _Schema) -> _Check:
        check = self._check(schema)
        return lambda value: not isinstance(value, list) or all(map(check, value))

    def _minItems(self, least: int, _schema: _Schema) -> _Check:  # noqa: N802
        return lambda value: not isinstance(value, list) or len(value) >= least

    def _maxItems(self, most: int, _schema: _Schema) -> _Check:  # noqa: N802
        return lambda value: not isinstance(value, list) or len(value) <= most

    def _uniqueItems(self, wanted: bool, _schema: _Schema) -> _Check:  # noqa: N802
        return lambda value: not wanted or not isinstance(value, list) or are_unique(value)

    def _minProperties(self, least: int, _schema: _Schema) -> _Check:  # noqa: N802
        return lambda value: not isinstance(value, dict) or len(value) >= least

    def _required(self, keys: list[str], _schema: _Schema) -> _Check:
        return lambda value: not isinstance(value, dict) or all(key in value for key in keys)

    def _propertyNames(self, schema: t.Any, _schema: _Schema) -> _Check:  # noqa: N802
        check = self._check(schema)
        return lambda value: not isinstance(value, dict) or all(map(check, value))

    def _properties(self, schemas: dict[str, t.Any], schema: _Schema) -> _Check:
        checks = {key: self._check(one) for key, one in schemas.items()}
        other = self._check(schema.get("additionalProperties", True))

        def fits(value: t.Any) -> bool:
            return not isinstance(value, dict) or all(
                checks.get(key, other)(one) for key, one in value.items()
            )

        return fits

    def _dependentRequired(  # noqa: N802
        self, needed: dict[str, list[str]], _schema: _Schema
    ) -> _Check:
        def fits(value: t.Any) -> bool:
            return not isinstance(value, dict) or all(
                key in value for given, keys in needed.items() if given in value for key in keys
            )

        return fits

    def _dependentSchemas(self, schemas: dict[str, t.Any], _schema: _Schema) -> _Check:  # noqa: N802
        checks = {key: self._check(one) for key, one in schemas.items()}

        def fits(value: t.Any) -> bool:
            return not isinstance(value, dict) or all(
                check(value) for key, check in checks.items() if key in value
            )

        return fits

    def _allOf(self, schemas: list[t.Any], _schema: _Schema) -> _Check:  # noqa: N802
        checks = [self._check(one) for one in schemas]
        return lambda value: all(check(value) for check in checks)

    def _anyOf(self, schemas: list[t.Any], _schema: _Schema) -> _Check:  # noqa: N802
        checks = [self._check(one) for one in schemas]
        return lambda value: any(check(value) for check in checks)

    def _not(self, schema: t.Any, _schema: _Schema) -> _Check:
        check = self._check(schema)
        return lambda value: not check(value)

    def _if(self, schema: t.Any, around: _Schema) -> _Check:
        check = self._check(schema)
        then, other = (self._check(around.get(key, True)) for key in ("then", "else"))
        return lambda value: then(value) if check(value) else other(value)


def are_unique(values: list[t.Any]) -> bool:
    """Whether a list has nothing twice, as JSON Schema compares."""
    identity = functools.partial(json.dumps, sort_keys=True)
    return len(set(map(identity, values))) == len(values)


def _unsure(*_keyword: t.Any) -> _Check:
    def check(_value: t.Any) -> bool:
        raise UnsureError

    return check


def _is_number(value: t.Any) -> bool:
    if isinstance(value, float):
        raise UnsureError
    return isinstance(value, int) and not isinstance(value, bool)


def _same(value: t.Any, one: t.Any) -> bool:
    if isinstance(value, float) or isinstance(one, (float, dict, list)):
        raise UnsureError
    return isinstance(value, bool) is isinstance(one, bool) and bool(value == one)
