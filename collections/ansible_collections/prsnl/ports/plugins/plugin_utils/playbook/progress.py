# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads while a remote execution takes long."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

from ansible.utils.display import Display

PATIENCE: t.Final = 8.0
INTERVAL: t.Final = 30.0
display = Display()


@contextlib.contextmanager
def told_while_waiting(
    text: str, *, patience: float = PATIENCE, interval: float = INTERVAL
) -> t.Iterator[None]:
    """Displays `text` and the seconds that went by, when the block takes long.

    :param patience: seconds of silence at first.
    :param interval: seconds from one line to the next.
    """
    started, done = time.monotonic(), threading.Event()

    def tell() -> None:
        pause = patience
        while not done.wait(pause):
            display.display(f"{text} ({time.monotonic() - started:.0f} s so far)")
            pause = interval

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
