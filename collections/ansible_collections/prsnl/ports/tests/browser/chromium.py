# Copyright: (c) 2026, PRSNL Ports contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser, driven over two pipes by the Chrome DevTools Protocol: no driver, no library.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time
import typing as t

NAMES: t.Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC: t.Final = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
OPTIONS: t.Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
TIMEOUT: t.Final = 120  # seconds; machines that run tests are busy


def find() -> str | None:
    """The path of a browser."""
    known = next(filter(None, map(shutil.which, NAMES)), None)
    return known or (MAC if os.path.exists(MAC) else None)


def install() -> str:
    """Install Debian's where that is allowed; returns why it can't be had, or nothing."""
    if find():
        return ""
    if not shutil.which("apt-get"):
        return "there is no Chromium, and no apt-get to install it; set up one by hand"
    if os.geteuid() != 0:
        return "there is no Chromium, and only root may install it: apt-get install chromium"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # Others may be installing something at the same time.
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=600", "-q"]
    command = [*apt, "install", "-y", "--no-install-recommends", "chromium"]
    said = ""
    for words in ([*apt, "update"], command):
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        said = (done.stderr or done.stdout).strip()
    return "" if find() else f"Chromium can't be installed: {said[-300:]}"


class Browser:
    """A browser with one page. `console` has what the page complained about."""

    def __init__(self) -> None:
        self.console: list[str] = []
        self._number = 0
        self._buffer = b""
        self._profile = tempfile.mkdtemp(prefix="prsnl-browser-")
        to_browser, self._output = os.pipe()
        self._input, from_browser = os.pipe()
        path = find()
        assert path is not None
        # The browser reads its commands from descriptor 3 and answers on 4.
        script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", path, *OPTIONS, f"--user-data-dir={self._profile}"],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    _session: str | None = None

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            self._session = None
            self.call("Browser.close")
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._output)
        os.close(self._input)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, **parameters: t.Any) -> dict[str, t.Any]:
        """The result of a command; raises AssertionError with what the browser says against it."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._output, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self._note(answer)

    def _receive(self) -> dict[str, t.Any]:
        deadline = time.monotonic() + TIMEOUT
        while b"\0" not in self._buffer:
            ready = select.select([self._input], [], [], deadline - time.monotonic())[0]
            if not ready:
                raise TimeoutError("the browser doesn't answer")
            chunk = os.read(self._input, 1 << 20)
            if not chunk:
                raise EOFError("the browser has ended")
            self._buffer += chunk
        message, _end, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: dict[str, t.Any]) -> None:
        method, parameters = event.get("method", ""), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.console.append(str(parameters["exceptionDetails"].get("text")))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.console.append(str([a.get("value") for a in parameters["args"]]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.console.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                self.console.append(f"asked the network for {url}")

    def open(
        self,
        file: pathlib.Path,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        scripts: bool = True,
    ) -> None:
        """Load a page as a screen of that size in CSS pixels shows it."""
        self.console.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = "dark" if dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media="", features=features)
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=file.as_uri())
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if self.run("document.readyState + location.href") == f"complete{file.as_uri()}":
                return
            time.sleep(0.05)
        raise TimeoutError(f"{file} doesn't load")

    def run(self, script: str) -> t.Any:
        """The value of a script, as JSON gives it."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        for kind in ("rawKeyDown", "keyUp"):
            code = {"Tab": 9, "Enter": 13}[key]
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def picture(self, selector: str = "", *, limit: int = 0) -> bytes:
        """A screenshot of the whole page, its first pixels, or one element."""
        box = self.run(
            "(() => { const r = "
            + (f"document.querySelector({json.dumps(selector)})" if selector else "document.body")
            + ".getBoundingClientRect();"
            " return [r.x + scrollX, r.y + scrollY, r.width, r.height] })()"
        )
        x, y, width, height = box
        clip = {"x": x, "y": y, "width": width, "height": min(height, limit or height), "scale": 1}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def pdf(self) -> bytes:
        """The page as its own style sheet wants it printed."""
        done = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(done["data"])
