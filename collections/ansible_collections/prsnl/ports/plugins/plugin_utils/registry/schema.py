# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first layer of validation: the JSON Schema, which editors use as well."""

from __future__ import annotations

import collections
import contextlib
import functools
import importlib
import json
import os
import re
import typing as t

from ansible_collections.prsnl.ports.plugins.module_utils.host.text import listed
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import fitting
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import (
    Fault,
    Path,
    RegistryError,
    found,
)

DIRECTORY: t.Final = os.path.join(os.path.dirname(__file__), "..", "..", "..", "schemas")
_KINDS: t.Final = {"object": "a mapping", "array": "a list", "boolean": "true or false"}

_Schema = dict[str, t.Any]


class Schema:
    """A JSON Schema (draft 2020-12) of the directory schemas/.

    What is allowed is told in the words of its `errorMessage`, where it has one.
    """

    def __init__(self, name: str) -> None:
        self._schema = _read(name)
        self._fitting = fitting.Fitting(self._schema, self._resolve)
        self._parts: dict[int, t.Any] = {}

    def faults(self, data: t.Any) -> t.Iterator[Fault]:
        """Every fault of the data. Raises RegistryError if there are some, and no jsonschema."""
        if not self._fitting.fits(data):
            for error in self._validator.iter_errors(data):
                yield from self._in_words(error)

    @functools.cached_property
    def _validator(self) -> t.Any:
        jsonschema = _jsonschema()
        checker = jsonschema.validators.extend(
            jsonschema.Draft202012Validator,
            {"$ref": self._ref, "pattern": _pattern, "uniqueItems": _unique},
        )
        checker.descend = self._descend
        return checker(self._schema)

    # jsonschema makes a validator for every value that it visits. Making one for every part of the
    # schema is a third of the work.
    def _part(self, schema: t.Any) -> t.Any:
        part = self._parts.get(id(schema))
        if part is None:
            part = self._parts[id(schema)] = self._validator.evolve(schema=schema)
        return part

    def _descend(
        self,
        instance: t.Any,
        schema: t.Any,
        path: str | int | None = None,
        schema_path: str | int | None = None,
    ) -> t.Iterator[t.Any]:
        for error in self._part(schema).iter_errors(instance):
            if path is not None:
                error.path.appendleft(path)
            if schema_path is not None:
                error.schema_path.appendleft(schema_path)
            yield error

    def _ref(self, validator: t.Any, ref: str, data: t.Any, schema: _Schema) -> t.Iterator[t.Any]:
        yield from self._part(self._resolve(ref)).iter_errors(data)

    def _resolve(self, ref: str) -> _Schema:
        # What lies in another file names that file in its own references too.
        file, _hash, place = ref.partition("#/")
        node = _read(file) if file else self._schema
        for key in filter(None, place.split("/")):
            node = node[key]
        return node

    def _in_words(self, error: t.Any) -> t.Iterator[Fault]:
        path: Path = tuple(error.absolute_path)
        value, schema, rule = error.instance, error.schema, error.validator
        if rule in ("required", "dependentRequired"):
            needed = schema[rule]
            if rule == "dependentRequired":
                needed = [key for given, keys in needed.items() if given in value for key in keys]
            for key in needed:
                if key not in value:
                    allowed = self._allowed(schema.get("properties", {}).get(key, schema))
                    yield Fault((*path, key), f"found nothing, allowed is {allowed}")
        elif rule == "additionalProperties":
            known = schema["properties"]
            for key in value.keys() - known.keys():
                yield Fault(
                    (*path, key),
                    f"found the unknown key {found(key)}, allowed are {listed(known, 'and')}",
                    word=key,
                    among=known,
                )
        elif rule in ("uniqueItems", "minItems", "maxItems", "minProperties", "maxLength"):
            yield from _of_wrong_size(path, value, rule, schema)
        elif "propertyNames" in error.absolute_schema_path:
            yield Fault(
                (*path, value),
                f"found the name {found(value)}, allowed is {self._allowed(schema)}"
                + _remedy(value, schema),
            )
        else:
            remedy = _remedy(value, schema)
            yield Fault(
                path,
                f"found {found(value)}, allowed is {self._allowed(schema)}{remedy}",
                word=value if isinstance(value, str) and not remedy else "",
                among=schema.get("enum", ()),
            )

    def _allowed(self, schema: _Schema) -> str:
        if "errorMessage" in schema:
            return str(schema["errorMessage"])
        if "enum" in schema:
            return listed(schema["enum"], "or")
        if "const" in schema:
            return found(schema["const"])
        if "$ref" in schema:
            return self._allowed(self._resolve(schema["$ref"]))
        return _KINDS[schema["type"]]


def _of_wrong_size(path: Path, value: t.Any, rule: str, schema: _Schema) -> t.Iterator[Fault]:
    if rule == "uniqueItems":
        for item, count in collections.Counter(map(found, value)).items():
            if count > 1:
                yield Fault(path, f"found {item} {count} times, allowed is once")
    elif rule == "maxItems":
        yield Fault(path, f"found {len(value)} entries, allowed are {schema[rule]} at most")
    elif rule == "maxLength":
        most = f"allowed are {schema[rule]} at most"
        yield Fault(path, f"found {found(value)} of {len(value)} characters, {most}")
    else:
        allowed = schema.get("errorMessage", "at least one entry")
        yield Fault(path, f"found {found(value)}, allowed is {allowed}")


@functools.cache
def _read(name: str) -> _Schema:
    with open(os.path.join(DIRECTORY, name), encoding="utf-8") as stream:
        schema: _Schema = json.load(stream)
    # It would have jsonschema choose another validator than ours for what comes after a reference.
    schema.pop("$schema", None)
    return schema


def _remedy(value: t.Any, schema: _Schema) -> str:
    """What to write instead, where it is plain what was meant."""
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    text = found(value)
    if isinstance(value, int):
        fits = "string" in kinds and _fits(text, schema)
        return f"; put it in quotes: '{text}'" if fits else ""
    if isinstance(value, list):
        fits = len(value) == 1 and _fits(value[0], schema)
        return f"; write it without brackets: {value[0]}" if fits else ""
    return _remedy_of_text(value, schema, kinds) if isinstance(value, str) else ""


def _number(value: str) -> int | None:
    """The whole number that a text is in another notation: 9_090, 0x2382, +9090, 9090.0 or 1e4."""
    # Of old, it was octal.
    if re.match(r"[+-]?0[0-9]", value):
        return None
    for read in (lambda: int(value, 0), lambda: float(value)):
        with contextlib.suppress(ValueError, OverflowError):
            number = read()
            return int(number) if number == int(number) else None
    return None


def _remedy_of_text(value: str, schema: _Schema, kinds: tuple[str, ...]) -> str:
    if "{{" in value:
        return "; write the value itself, as the registry is no template"
    wants_number = "integer" in kinds or isinstance(schema.get("const"), int)
    if wants_number and re.fullmatch(r"[0-9]{1,5}", value):
        return f"; write it without quotes and zeros in front: {int(value)}"
    if wants_number:
        number = _number(value)
        return f"; did you mean {number}?" if number is not None and _fits(number, schema) else ""
    if kinds == ("array",):
        return f"; put it in brackets: [{value}]" if value.isprintable() else ""
    words = [value.strip(), value.lower(), value.lower().replace("-", "_")]
    if value and "." not in value:
        words.append(f"{value}.service")
    if value.startswith("/") and not _fits("a/a", schema):
        words.append(value.rpartition("/")[2])
    better = next((word for word in words if word != value and _fits(word, schema)), None)
    return f"; did you mean {found(better)}?" if better else ""


def _fits(value: t.Any, schema: _Schema) -> bool:
    """Whether a text or number is what a part of a schema allows, as far as that is easily told."""
    if isinstance(value, int) and not isinstance(value, bool):
        least, most = schema.get("minimum", value), schema.get("maximum", value)
        return bool(least <= value <= most and schema.get("const", value) == value)
    if not isinstance(value, str):
        return False
    if "enum" in schema:
        return value in schema["enum"]
    return "pattern" in schema and re.fullmatch(schema["pattern"], value) is not None


def _pattern(validator: t.Any, regex: str, data: t.Any, schema: _Schema) -> t.Iterator[t.Any]:
    # In Python `$` also matches before a newline at the end; in JSON Schema it doesn't.
    if isinstance(data, str) and not re.fullmatch(regex, data):
        yield _jsonschema().ValidationError(f"{data!r} does not match {regex!r}")


def _unique(_validator: t.Any, wanted: bool, data: t.Any, _schema: _Schema) -> t.Iterator[t.Any]:
    # The library compares every item with every other one where their types differ.
    if wanted and isinstance(data, list) and not fitting.are_unique(data):
        yield _jsonschema().ValidationError(f"{data!r:.60} has non-unique elements")


def _jsonschema() -> t.Any:
    """The library, which is only imported where there is something to tell."""
    try:
        return importlib.import_module("jsonschema")
    except ImportError as error:
        raise RegistryError(
            "prsnl.ports needs the Python library jsonschema on the controller to tell what is"
            " wrong: run pip install jsonschema in the environment of ansible-playbook"
        ) from error


@functools.cache
def ports_schema() -> Schema:
    """The schema of registry/ports.yml."""
    return Schema("ports.schema.json")


@functools.cache
def leases_schema() -> Schema:
    """The schema of registry/leases.yml."""
    return Schema("leases.schema.json")


@functools.cache
def runbook_schema() -> Schema:
    """The schema of a service's runbook, in the registry or with its role."""
    return Schema("runbook.schema.json")


@functools.cache
def evidence_schema() -> Schema:
    """The schema of a handoff's evidence.json."""
    return Schema("evidence.schema.json")
