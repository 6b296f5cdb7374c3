"""The lab of this scenario is a native one, wherever its tests are started from."""

from __future__ import annotations

import os

os.environ.setdefault("LAB_ARCH", "native")
# Its hosts are search nodes as well, which whoever verifies them has to know.
os.environ.setdefault("LAB_INVENTORY", "inventories/lab molecule/native/inventory/search.yml")
