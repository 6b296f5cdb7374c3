# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates, as a real server shows them."""

from __future__ import annotations

import pathlib
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.evidence import answers
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.answers import (
    read_certificate,
    read_packages,
)
from ansible_collections.prsnl.ports.plugins.module_utils.evidence.readings import Reading

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")


def test_the_end_of_a_certificate(tmp_path: pathlib.Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=shop -days 30"
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in", certificate],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _address = server.accept()
            with context.wrap_socket(connection, server_side=True):
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        facts, reading = read_certificate("127.0.0.1", server.getsockname()[1], 30)
        thread.join()
    assert facts["not_after"] == told.strip().partition("=")[2].replace(" ", "T")
    assert "CN" in reading.output
    assert "shop" in reading.output


def test_who_shows_none_has_no_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1)
        facts, reading = read_certificate("127.0.0.1", server.getsockname()[1], 0.5)
    assert facts == {"not_after": ""}
    assert reading.fault


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed ones only, whatever dpkg says of the others."""
    text = "shop 1.2+standin1 ii \nstore 2.0 rc \ndpkg-query: no packages found matching none\n"

    def run(argv: list[str], timeout: float) -> Reading:
        assert argv[-3:] == ["none", "shop", "store"]
        return Reading("command", " ".join(argv), text, 1)

    monkeypatch.setattr(answers, "run", run)
    found, reading = read_packages({"shop", "store", "none"}, 5)
    assert found == {"shop": "1.2+standin1"}
    assert reading.output == text
