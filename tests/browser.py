"""Headless Chromium, spoken to over pipes: pages opened, looked at and measured, without a driver.

What is sent and received is that of the DevTools protocol; each message ends in a zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
PATIENCE = 60.0
"""Seconds to wait for an answer."""


def chromium() -> str:
    """The program; a test that needs it is skipped where there is none, unless it must not be."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("SYMFLOW_CHROMIUM") == "required":
            pytest.fail("there is no chromium, and SYMFLOW_CHROMIUM says that there must be")
        pytest.skip("there is no chromium; Debian has a package of that name")
    return found


@dataclass
class Page:
    """One page: what it complained of, and what it asked for."""

    browser: Browser
    session: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def send(self, method: str, **arguments: Any) -> Any:
        return self.browser.send(method, self.session, **arguments)

    def evaluate(self, script: str) -> Any:
        """The value of an expression of JavaScript."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def open(self, path: Path) -> None:
        """Open a file and wait until it is there."""
        self.browser.loaded.clear()
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.browser.wait_for(lambda: self.session in self.browser.loaded)

    def dark(self) -> None:
        """Show the page as to a reader who prefers dark pages."""
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))


class Browser:
    """A browser with a profile of its own, which ends with the block that it is opened in."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.loaded: set[str] = set()
        self._number = 0
        self._rest = b""

    def __enter__(self) -> Browser:
        program = chromium()
        self._profile = tempfile.mkdtemp(prefix="chromium")
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        # the program reads from descriptor 3 and writes to descriptor 4
        script = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, program, *FLAGS, f"--user-data-dir={self._profile}"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.send("Browser.close")
        finally:
            os.close(self._to)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            os.close(self._from)
            shutil.rmtree(self._profile, ignore_errors=True)

    @contextmanager
    def page(self, width: int = 1280, height: int = 900) -> Iterator[Page]:
        """An empty page of some size."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        page = self.pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        page.resize(width, height)
        yield page
        self.send("Target.closeTarget", targetId=target)

    def send(self, method: str, session: str | None = None, **arguments: Any) -> Any:
        """Ask for something, and wait for the answer."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": arguments}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answers: list[Any] = []

        def answered() -> bool:
            return bool(answers)

        self.wait_for(answered, number, answers)
        assert "error" not in answers[0], (method, answers[0]["error"])
        return answers[0]["result"]

    def wait_for(self, done: Any, number: int = -1, answers: list[Any] | None = None) -> None:
        """Read what comes until something is so."""
        until = time.monotonic() + PATIENCE
        while not done():
            for message in self._messages(until):
                if message.get("id") == number and answers is not None:
                    answers.append(message)
                elif "method" in message:
                    self._note(message)

    def _messages(self, until: float) -> Iterator[Any]:
        ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
        assert ready, "chromium does not answer"
        data = os.read(self._from, 1 << 20)
        assert data, "chromium has ended"
        *whole, self._rest = (self._rest + data).split(b"\0")
        for one in whole:
            yield json.loads(one)

    def _note(self, message: Any) -> None:
        """Keep what pages complain of and ask for."""
        page = self.pages.get(message.get("sessionId", ""))
        method, given = message["method"], message.get("params", {})
        if page is None:
            return
        if method == "Page.loadEventFired":
            self.loaded.add(page.session)
        elif method == "Network.requestWillBeSent":
            page.requests.append(given["request"]["url"])
        elif method == "Log.entryAdded":
            page.complaints.append(given["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            page.complaints.append(str(given["args"]))
        elif method == "Runtime.exceptionThrown":
            page.complaints.append(str(given["exceptionDetails"]))
