"""Pages as a browser draws them: headless Chromium, driven over pipes by the DevTools protocol.

    def test_a_page(browser: Browser, tmp_path: Path) -> None:
        with browser.page(tmp_path / "page.html", width=390, dark=True) as page:
            assert page.overflow == 0
            assert page.errors == []
            assert page.violations() == []

The fixture `browser` is one process for all tests of a worker; without Chromium they skip. No
package is needed beside the browser: messages are JSON that ends with a zero byte, on its file
descriptors 3 (to it) and 4 (from it).
"""

import base64
import contextlib
import functools
import http.server
import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

NAMES = ("chromium-headless-shell", "chromium", "google-chrome", "google-chrome-stable")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
REASON = "needs a Chromium that runs without a display (Debian's chromium-headless-shell)"
OPTIONS = (
    "--headless",
    "--no-sandbox",  # root in a container has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
PATIENCE = 120.0  # seconds that an answer may take on a machine with other work
KEYS = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    " ": (32, " "),
    "Backspace": (8, ""),
    "ArrowLeft": (37, ""),
    "ArrowUp": (38, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
}
"""Keys without a letter: their code, and the text that they type."""

Message = dict[str, Any]


class BrowserError(Exception):
    """The browser refuses a command, a script throws, or no answer comes."""


class Browser:
    """A headless browser; `page` opens a page in it."""

    def __init__(self, profile: Path) -> None:
        """Start the browser.

        Args:
          profile: folder for what it writes.
        """
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        places = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        words = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", places, "bash", *words],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest, self._count = b"", 0
        self.events: list[Message] = []

    def close(self) -> None:
        """End the browser and all processes that it started."""
        os.close(self._to)
        os.close(self._from)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def page(self, address: Path | str, *, width: int = 1000, dark: bool = False) -> "BrowserPage":
        """Open a file or a URL, and wait until it is loaded.

        Args:
          width: of the window in pixels.
          dark: what the reader prefers.
        """
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        url = address.resolve().as_uri() if isinstance(address, Path) else address
        return BrowserPage(self, target, session, url, width, dark)

    def ask(self, method: str, session: str | None = None, **params: Any) -> Message:
        """Send a command and wait for its result; events before it are kept.

        Raises:
          BrowserError: refused, or no answer.
        """
        self._count += 1
        number = self._count
        message = {"id": number, "method": method, "params": params}
        content = json.dumps(message | ({"sessionId": session} if session else {})).encode()
        content += b"\0"
        while content:
            content = content[os.write(self._to, content) :]
        until = time.monotonic() + PATIENCE
        while (answer := self._receive(until, method)).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def wait_for(self, method: str, session: str) -> None:
        """Wait for an event of a page that may have come already."""
        until = time.monotonic() + PATIENCE
        wanted = (method, session)
        while wanted not in [(e.get("method"), e.get("sessionId")) for e in self.events]:
            self.events.append(self._receive(until, method))

    def _receive(self, until: float, what: str) -> Message:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise BrowserError(f"{what}: no answer in {PATIENCE:.0f} s")
            more = os.read(self._from, 1 << 20)
            if not more:
                raise BrowserError(f"{what}: the browser ended with {self._process.poll()}")
            self._rest += more
        content, _, self._rest = self._rest.partition(b"\0")
        return json.loads(content)


class BrowserPage:
    """A page that is open."""

    def __init__(
        self, browser: Browser, target: str, session: str, url: str, width: int, dark: bool
    ) -> None:
        self._browser, self._target, self._session = browser, target, session
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")
        self.resize(width)
        self.prefer(dark=dark)
        refused = self.ask("Page.navigate", url=url).get("errorText")
        if refused:
            raise BrowserError(f"{url}: {refused}")
        browser.wait_for("Page.loadEventFired", session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._browser.ask("Target.closeTarget", targetId=self._target)
        events = self._browser.events
        events[:] = [event for event in events if event.get("sessionId") != self._session]

    def ask(self, method: str, **params: Any) -> Message:
        """Send a command of the protocol to this page."""
        return self._browser.ask(method, self._session, **params)

    def resize(self, width: int, height: int = 900) -> None:
        """Draw the page in a window of another size, in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)

    def prefer(self, *, dark: bool = False, media: str = "") -> None:
        """Choose a colour scheme, and a medium: screen, print or (empty) the browser's."""
        value = "dark" if dark else "light"
        features = [
            {"name": "prefers-color-scheme", "value": value},
            {"name": "prefers-reduced-motion", "value": "reduce"},  # a screenshot is of the end
        ]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression of JavaScript; of a promise, what it becomes.

        Raises:
          BrowserError: it throws.
        """
        options = {"awaitPromise": True, "returnByValue": True}
        answer = self.ask("Runtime.evaluate", expression=script, **options)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{script}: {_text_of(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    def until(self, condition: str, seconds: float = PATIENCE / 2) -> None:
        """Wait until an expression of JavaScript is true.

        Raises:
          BrowserError: it is not, after so many seconds.
        """
        end = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise BrowserError(f"{condition}: not in {seconds} s; errors: {self.errors}")
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other: letters, or names of KEYS."""
        for key in keys:
            code, text = KEYS.get(key, (ord(key[0].upper()), key))
            facts = {"key": key, "windowsVirtualKeyCode": code}
            self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **facts)

    def screenshot(self, file: Path, *, whole: bool = False) -> None:
        """Save what the window shows, or the whole page, as a PNG."""
        found = self.ask("Page.captureScreenshot", captureBeyondViewport=whole, **self._clip(whole))
        file.write_bytes(base64.b64decode(found["data"]))

    def _clip(self, whole: bool) -> Message:
        if not whole:
            return {}
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        box = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        return {"clip": box}

    @property
    def html(self) -> str:
        """The document as scripts have left it."""
        return self.evaluate("document.documentElement.outerHTML")

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return max(0, self.evaluate("document.documentElement.scrollWidth-innerWidth"))

    @property
    def errors(self) -> list[str]:
        """Exceptions of scripts, errors on the console, and files that are missing."""
        self.evaluate("0")  # events that came with what was done before
        mine = [e for e in self._browser.events if e.get("sessionId") == self._session]
        return [text for event in mine if (text := _error_of(event))]

    def violations(self, *rules: str) -> list[str]:
        """Check the page with axe-core: what makes it hard to use without sight or a mouse.

        Args:
          rules: of axe-core; all of them where none are named.

        Returns:
          One line for each element that breaks a rule.
        """
        if self.evaluate("typeof axe") == "undefined":
            self.evaluate(_axe())
        options = {"runOnly": rules} if rules else {}
        found = self.evaluate(f"axe.run(document,{json.dumps(options)}).then(r=>r.violations)")
        return [
            f"{each['id']}: {each['help']}: {node['html']}"
            for each in found
            for node in each["nodes"]
        ]


@functools.cache
def _axe() -> str:
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("needs the package axe-core-python")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def _error_of(event: Message) -> str | None:
    params = event.get("params", {})
    match event.get("method"):
        case "Runtime.exceptionThrown":
            return _text_of(params["exceptionDetails"])
        case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
            return " ".join(str(a.get("value", a.get("description"))) for a in params["args"])
        case "Log.entryAdded" if params["entry"]["level"] == "error":
            return f"{params['entry']['text']} {params['entry'].get('url', '')}".rstrip()
    return None


def _text_of(details: Message) -> str:
    return details.get("exception", {}).get("description") or details["text"]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser of this worker's tests."""
    if CHROMIUM is None:
        pytest.skip(REASON)
    started = Browser(tmp_path_factory.mktemp("browser"))
    try:
        yield started
    finally:
        started.close()


class _QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the files of a folder on this computer; gives the address, which ends with /."""
    handler = functools.partial(_QuietFiles, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
