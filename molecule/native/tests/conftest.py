"""The lab of this scenario is a native one, wherever its tests are started from."""

from __future__ import annotations

import os

os.environ.setdefault("LAB_ARCH", "native")
