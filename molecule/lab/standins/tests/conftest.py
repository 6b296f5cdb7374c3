"""Let the tests import the stand-ins as their programs do, and the collection that roles use."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[4] / "collections")]
