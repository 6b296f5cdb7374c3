# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries the modules' entry points in this process, with arguments as Ansible gives them."""

from __future__ import annotations

import json
import pathlib
import sys
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args

# What is made up for the rooms serves here, too.
PLUGINS = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(PLUGINS / "module_utils"), str(PLUGINS / "plugin_utils" / "handoff")]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> t.Callable[..., dict[str, t.Any]]:
    """Runs the entry point of a module; returns its result, where a failure has `failed`."""

    def start(main: t.Callable[[], None], *, check: bool = False, **params: t.Any) -> t.Any:
        arguments = {**params, "_ansible_check_mode": check}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            main()
        return json.loads(capsys.readouterr().out)

    return start
