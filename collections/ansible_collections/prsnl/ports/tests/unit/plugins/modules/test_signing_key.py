# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key that is trusted, one that isn't, and a server that has something else."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.prsnl.ports.plugins.module_utils.daemon.openpgp import fingerprints
from ansible_collections.prsnl.ports.plugins.modules import signing_key
from signing_keys import Keys, make_keys, needs_gpg

Run = t.Callable[..., dict[str, t.Any]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory)


@needs_gpg
@pytest.mark.parametrize("check", [False, True], ids=["run", "check mode"])
def test_a_key_is_fetched_if_it_is_trusted(
    run: Run, keys: Keys, tmp_path: pathlib.Path, check: bool
) -> None:
    served, path = tmp_path / "served.asc", tmp_path / "keyring.asc"
    served.write_bytes(keys.export("rsa2048"))
    params = {"url": f"file://{served}", "path": str(path), "fingerprints": [keys.of["rsa2048"]]}
    assert run(signing_key.main, check=check, **params)["changed"] is True
    assert path.exists() is not check
    served.write_bytes(keys.export("ed25519"))
    assert run(signing_key.main, check=check, **params)["failed"]


@needs_gpg
def test_a_key_that_is_not_trusted_leaves_the_former_one(
    run: Run, keys: Keys, tmp_path: pathlib.Path
) -> None:
    served, path = tmp_path / "served.asc", tmp_path / "keyring.asc"
    served.write_bytes(keys.export("ed25519"))
    params = {
        "url": f"file://{served}",
        "path": str(path),
        "fingerprints": [keys.of["ed25519"].lower()],
    }
    assert run(signing_key.main, **params)["fingerprints"] == [keys.of["ed25519"]]
    assert path.read_bytes() == served.read_bytes()
    assert run(signing_key.main, **params)["changed"] is False
    # The vendor's server is somebody else's now, or has one key more.
    for kinds in (("rsa2048",), ("ed25519", "rsa2048")):
        served.write_bytes(keys.export(*kinds))
        result = run(signing_key.main, **params)
        assert result["failed"]
        assert (
            f"found the key {keys.of['rsa2048']}, allowed are {keys.of['ed25519']}"
            in (result["msg"])
        )
    served.write_text("<html>maintenance</html>")
    assert "it has no public keys of OpenPGP" in run(signing_key.main, **params)["msg"]
    served.unlink()
    assert "can't be fetched" in run(signing_key.main, **params)["msg"]
    assert fingerprints(path.read_bytes()) == [keys.of["ed25519"]]
