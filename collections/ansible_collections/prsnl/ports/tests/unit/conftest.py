# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection importable, wherever the tests are started."""

from __future__ import annotations

import pathlib
import sys

import hypothesis
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[5]))
# What several rooms' tests share.
sys.path.insert(0, str(pathlib.Path(__file__).parent / "plugins" / "module_utils"))

# Busy machines are slow at times, which says nothing about the code.
hypothesis.settings.register_profile(
    "default", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("default")


@pytest.fixture(autouse=True)
def _no_monitors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of made-up processes may be those of this machine's containers."""
    from ansible_collections.prsnl.ports.plugins.module_utils.sockets import (  # noqa: PLC0415
        containers,
    )

    monkeypatch.setattr(containers, "PROC", "/nonexistent")
