"""A Hugging Face Hub on this computer that fails in every way a network can.

`FAILURES` are the ways; `failing_hub` serves one. A file has the name of its failure, so that one
server could serve all; paths are /OWNER/NAME/resolve/REVISION/FILE. `serving_hub` works.
"""

import contextlib
import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CONTENT = b"x" * 4096
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
STALL = 30.0  # seconds; longer than any client of a test waits

Handler = http.server.BaseHTTPRequestHandler


def _headers(handler: Handler, length: int, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(length))
    handler.send_header("ETag", '"0123456789"')
    handler.send_header("X-Repo-Commit", COMMIT)
    handler.end_headers()


def _serve(handler: Handler, body: bytes, announced: int | None = None) -> None:
    _headers(handler, len(body) if announced is None else announced)
    if handler.command == "GET":
        handler.wfile.write(body)
        handler.wfile.flush()


def _cut(handler: Handler) -> None:
    """Close the connection in the middle of the body."""
    _serve(handler, CONTENT[:1000], len(CONTENT))
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR)


def _slow(handler: Handler) -> None:
    """Send the beginning, then nothing."""
    _serve(handler, CONTENT[:1000], len(CONTENT))
    if handler.command == "GET":
        time.sleep(STALL)


def _silent(handler: Handler) -> None:
    del handler
    time.sleep(STALL)


def _loop(handler: Handler) -> None:
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _portal(handler: Handler) -> None:
    """Answer as a network's login page does: 200, HTML, no header of the Hub."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Content-Length", str(len(PAGE)))
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(PAGE)


def _page(handler: Handler) -> None:
    """Answer as the Hub, with a page for the file."""
    _serve(handler, PAGE)


def _shorter(handler: Handler) -> None:
    """Announce one size and serve another, whole."""
    if handler.command == "HEAD":
        _headers(handler, len(CONTENT))
    else:
        _serve(handler, CONTENT[:1000])


def _garbage(handler: Handler) -> None:
    handler.wfile.write(b"this is no HTTP\r\n\r\n")
    handler.close_connection = True


def _status(number: int) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(number)
        if number == 404:
            handler.send_header("X-Error-Code", "EntryNotFound")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


FAILURES: dict[str, Callable[[Handler], None]] = {
    "cut": _cut,
    "slow": _slow,
    "silent": _silent,
    "loop": _loop,
    "portal": _portal,
    "page": _page,
    "shorter": _shorter,
    "garbage": _garbage,
    **{str(number): _status(number) for number in (401, 403, 404, 429, 500, 502, 503)},
}


class _Answers(Handler):
    protocol_version = "HTTP/1.1"
    always = ""

    def answer(self) -> None:
        name = self.always or self.path.rsplit("/", 1)[-1]
        with contextlib.suppress(OSError):  # the client may be gone
            FAILURES.get(name, lambda handler: _serve(handler, CONTENT))(self)

    do_GET = do_HEAD = do_POST = answer

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@contextlib.contextmanager
def failing_hub(always: str = "") -> Iterator[str]:
    """Serve on a free port; gives the address.

    Args:
      always: the one of `FAILURES` that every path fails with; empty: the one it is named after.
    """
    with _running(type("_Always", (_Answers,), {"always": always})) as address:
        yield address


@contextlib.contextmanager
def _running(answers: type[Handler]) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def serving_hub(folder: Path) -> Iterator[str]:
    """Serve the files of a folder as those of every repository; gives the address."""

    class _Files(Handler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            file = folder / self.path.rsplit("/", 1)[-1]
            with contextlib.suppress(OSError):
                if not file.is_file():
                    FAILURES["404"](self)
                    return
                body = file.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

        do_GET = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with _running(_Files) as address:
        yield address
