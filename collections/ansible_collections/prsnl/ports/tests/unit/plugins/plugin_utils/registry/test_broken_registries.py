# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is reported about registries with faults, word by word."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry import load
from ansible_collections.prsnl.ports.plugins.plugin_utils.registry.faults import RegistryError

HERE = pathlib.Path(__file__).parent
BASE = (HERE / "base.yml").read_text(encoding="utf-8")
CASES = yaml.safe_load((HERE / "broken.yml").read_text(encoding="utf-8"))


def faults_of(source: bytes) -> list[str]:
    """The lines of the report."""
    with pytest.raises(RegistryError) as caught:
        load.parse(source, "ports.yml")
    return str(caught.value).split("\n")


def edited(*edits: dict[str, str]) -> str:
    """The base with replacements, each of which must have something to replace."""
    text = BASE
    for edit in edits:
        assert edit["old"] in text
        text = text.replace(edit["old"], edit["new"], 1)
    return text


def test_the_base_is_sound() -> None:
    """So that a fault of a case is that of its edit."""
    assert len(load.parse(BASE.encode(), "ports.yml").endpoints) == 5


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_every_fault_is_reported(case: dict[str, t.Any]) -> None:
    """All faults, sorted by line, and nothing else."""
    text = case["text"] if "text" in case else edited(*case["replace"])
    assert faults_of(text.encode()) == case["faults"]


def test_other_encodings_are_a_fault() -> None:
    """The line is that of the first byte which isn't UTF-8."""
    assert faults_of(BASE.encode().replace(b"The shop", b"The caf\xe9")) == [
        "ports.yml:23: (root): found the byte 0xe9, allowed is UTF-8"
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_what_powershell_writes_is_named(encoding: str) -> None:
    text = BASE if encoding == "utf-16" else f"\ufeff{BASE}"
    assert faults_of(text.encode(encoding)) == [
        "ports.yml:1: (root): found UTF-16, allowed is UTF-8; save it as UTF-8, in PowerShell with"
        " -Encoding utf8"
    ]


def test_an_encrypted_registry_is_named() -> None:
    assert faults_of(b"$ANSIBLE_VAULT;1.1;AES256\n6162\n") == [
        "ports.yml:1: (root): found what ansible-vault has encrypted, allowed is plain YAML: no"
        " secret is in a registry; ansible-vault decrypt makes it plain"
    ]


@pytest.mark.parametrize(
    "written",
    ["20_001", "0x4e21", "+20001", "20001.0", "2.0001e4", "\uff12\uff10\uff10\uff10\uff11"],
)
def test_other_notations_of_a_port_are_understood(written: str) -> None:
    (fault,) = faults_of(BASE.replace("port: 20001", f"port: {written}", 1).encode())
    assert fault.endswith("allowed is a whole number from 1 to 65535; did you mean 20001?")


@pytest.mark.parametrize("written", ["20001.5", "nan", "-inf", "1e999", "0x", "9" * 5000, "1e5"])
def test_what_is_no_port_in_any_notation_is_not_guessed(written: str) -> None:
    (fault,) = faults_of(BASE.replace("port: 20001", f"port: {written}", 1).encode())
    assert fault.endswith("allowed is a whole number from 1 to 65535")


def test_utf8_is_read_with_and_without_a_byte_order_mark() -> None:
    """Windows editors write one."""
    text = BASE.replace("The shop", "Le café")
    for encoding in ("utf-8", "utf-8-sig"):
        found = load.parse(text.encode(encoding), "ports.yml")
        assert found.services["shop"].description == "Le café"


def test_a_number_that_int_refuses_is_a_fault() -> None:
    """Python's int() raises for more than 4,300 digits."""
    assert faults_of(BASE.replace("port: 20001", f"port: {'9' * 5000}").encode()) == [
        "ports.yml:30: services.shop.endpoints.http.port: found"
        f" '{'9' * 60}...', allowed is a whole number from 1 to 65535"
    ]


def test_a_name_that_no_system_shows_is_a_fault() -> None:
    """The name of a file has 255 bytes at most."""
    assert faults_of(BASE.replace("process: shop,", f"process: {'s' * 256},").encode()) == [
        f"ports.yml:27: services.shop.owner.process: found '{'s' * 60}...' of 256 characters,"
        " allowed are 255 at most"
    ]


def test_aliases_do_not_multiply() -> None:
    """Nine levels of nine aliases are some 400 million values, if they are followed."""
    levels = ["a: &l0 [x]"] + [
        f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)
    ]
    assert len(faults_of("\n".join(levels).encode())) < 200


def test_suggestions_do_not_make_many_faults_slow() -> None:
    """A misspelt name is compared with all names, so only the first hundred are."""
    services = "".join(
        f"  s{n}: {{description: d, hosts: fornt, environments: [staging],"
        f" endpoints: {{e: {{port: 1, status: retired}}}}}}\n"
        for n in range(300)
    )
    text = BASE.replace("services:\n", "services:\n" + services)
    hosts = [line for line in faults_of(text.encode()) if ".hosts:" in line]
    assert len(hosts) == 300
    assert sum("did you mean 'front'" in line for line in hosts) == 100
