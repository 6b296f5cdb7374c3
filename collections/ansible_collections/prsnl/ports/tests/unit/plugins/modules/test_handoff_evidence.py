# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Its documentation; runs and check mode are tested with its action."""

from __future__ import annotations

import yaml
from ansible_collections.prsnl.ports.plugins.modules import handoff_evidence


def test_check_mode_is_documented() -> None:
    """Real plays are in the tests of its action."""
    about = yaml.safe_load(handoff_evidence.DOCUMENTATION)
    assert about["module"] == "handoff_evidence"
    assert about["options"]
    assert yaml.safe_load(handoff_evidence.EXAMPLES)
    assert yaml.safe_load(handoff_evidence.RETURN)
