from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from lab import on


@pytest.fixture
def stranger() -> Callable[..., AbstractContextManager[None]]:
    """Start a transient unit on a host, as a user of its own, and stop it afterwards."""

    @contextmanager
    def start(host: str, unit: str, command: str, user: str = "nobody") -> Iterator[None]:
        on(host, f"systemd-run --quiet --unit={unit} --uid={user} {command}")
        try:
            yield
        finally:
            on(
                host,
                f"systemctl stop {unit}; systemctl reset-failed {unit} 2>/dev/null",
                check=False,
            )

    return start
