"""What the repository's own rules look at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The collection is importable, wherever the tests are started.
sys.path.insert(0, str(ROOT / "collections"))


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """The files that Git has, or would have with `git add`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in names.split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]
