# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads without published checksums: noted once, and refused when they are others later."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import pathlib
import platform
import subprocess
import sys
import threading
import typing as t

import pytest
import yaml

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[1]
FILES = {"dragonfly.deb": b"a package", "cadvisor": b"a program"}


class Vendor:
    """A server of downloads, and an inventory of hosts that want them."""

    def __init__(self, folder: pathlib.Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.inventory = folder / "inventory"
        self.pins = self.inventory / "group_vars" / "all" / "pins.yml"
        self.inventory.mkdir()
        self.given: dict[str, t.Any] = {}

    def play(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        hosts = {"cache1": None, "cache2": None}
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "port_environment": "production",
            "port_system": "linux",
            "port_addresses": ["192.0.2.1"],
            "dragonfly_url": f"{self.url}/dragonfly.deb",
            "cadvisor_url": f"{self.url}/cadvisor",
            "preflight_architectures": [],
            "preflight_systems": [],
            "preflight_service_manager": "",
            "preflight_memory_mb": 0,
            "preflight_disks": [],
            **self.given,
        }
        groups = {name: {"hosts": hosts} for name in ("cache", "containers")}
        data = {"all": {"vars": variables, "children": groups}}
        (self.inventory / "hosts.json").write_text(json.dumps(data), encoding="utf-8")
        program = str(pathlib.Path(sys.executable).with_name("ansible-playbook"))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
        return subprocess.run(
            [program, name, *options, "-i", str(self.inventory)],
            cwd=ROOT,
            env=environment | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def noted(self) -> dict[str, str]:
        found = yaml.safe_load(self.pins.read_text(encoding="utf-8"))
        pins: dict[str, str] = found["pinned_downloads"]
        return pins

    def served(self) -> dict[str, str]:
        return {
            f"{self.url}/{name}": "sha256:" + hashlib.sha256(self.file(name)).hexdigest()
            for name in FILES
        }

    def file(self, name: str) -> bytes:
        return (self.folder / "www" / name).read_bytes()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: t.Any) -> None:
        pass


@pytest.fixture
def vendor(tmp_path: pathlib.Path) -> t.Iterator[Vendor]:
    (tmp_path / "www").mkdir()
    for name, content in FILES.items():
        (tmp_path / "www" / name).write_bytes(content)
    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Vendor(tmp_path, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def flat(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stdout.split())


def test_what_is_not_pinned_is_refused_before_anything_changes_and_pinned_once(
    vendor: Vendor,
) -> None:
    refused = vendor.play("playbooks/preflight.yml")
    assert refused.returncode != 0
    assert f"{vendor.url}/dragonfly.deb and {vendor.url}/cadvisor" in flat(refused)
    assert "playbooks/pin.yml" in flat(refused)

    checked = vendor.play("playbooks/pin.yml", "--check", "--diff")
    assert checked.returncode == 0, checked.stdout
    assert not vendor.pins.exists()
    for url, checksum in vendor.served().items():
        assert f"{url} has 9 bytes and is {checksum}, seen for the first time" in flat(checked)

    pinned = vendor.play("playbooks/pin.yml")
    assert pinned.returncode == 0, pinned.stdout
    assert vendor.noted() == vendor.served()
    again = vendor.play("playbooks/pin.yml")
    assert "changed=0" in again.stdout
    assert flat(again).count("as noted") == len(FILES)
    passed = vendor.play("playbooks/preflight.yml")
    assert "nothing says what" not in flat(passed), passed.stdout


def test_a_file_that_was_replaced_is_refused(vendor: Vendor) -> None:
    assert vendor.play("playbooks/pin.yml").returncode == 0
    before = vendor.noted()
    (vendor.folder / "www" / "cadvisor").write_bytes(b"something else")
    refused = vendor.play("playbooks/pin.yml")
    assert refused.returncode != 0
    url = f"{vendor.url}/cadvisor"
    told = f"{url} is {vendor.served()[url]} now, and was noted as {before[url]}"
    assert told in flat(refused)
    assert vendor.noted() == before


def test_what_has_a_checksum_is_left_alone_and_a_new_release_is_added(vendor: Vendor) -> None:
    known = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    vendor.given = {"cadvisor_checksums": {known: "sha256:" + "0" * 64}}
    assert vendor.play("playbooks/pin.yml").returncode == 0
    assert list(vendor.noted()) == [f"{vendor.url}/dragonfly.deb"]
    (vendor.folder / "www" / "newer.deb").write_bytes(b"a newer package")
    vendor.given["dragonfly_url"] = f"{vendor.url}/newer.deb"
    assert vendor.play("playbooks/pin.yml").returncode == 0
    assert list(vendor.noted()) == [f"{vendor.url}/dragonfly.deb", f"{vendor.url}/newer.deb"]


def test_variables_in_a_single_file_are_not_hidden(vendor: Vendor) -> None:
    (vendor.inventory / "group_vars").mkdir()
    (vendor.inventory / "group_vars" / "all.yml").write_text("port_addresses: [192.0.2.2]\n")
    refused = vendor.play("playbooks/pin.yml")
    assert refused.returncode != 0
    assert "Ansible would not read it any more" in flat(refused)
    assert not vendor.pins.exists()
