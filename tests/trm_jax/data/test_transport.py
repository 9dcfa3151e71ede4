"""The innermost cause of a failed request is what is said."""

import itertools
import socket
import ssl

import pytest

from trm_jax.data.transport import cause_of, chain, known_cause, status_of


def raised(*errors: BaseException) -> BaseException:
    """Chain errors, the innermost first, as `raise ... from ...` does."""
    for inner, outer in itertools.pairwise(errors):
        outer.__cause__ = inner
    return errors[-1]


class ConnectError(Exception):
    """As httpx has it: of everything."""


class ReadTimeout(Exception):
    """As httpx and requests have it."""


class ResponseError(Exception):
    """As urllib3 has it, of a status that it retried in vain."""


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (raised(socket.gaierror(-2, "?"), ConnectError("all failed")), "the name of the host"),
        (raised(ConnectionRefusedError(111, "no"), ConnectError("x")), "the connection is refused"),
        (raised(ConnectionResetError(104, "no"), OSError("x")), "the connection was cut"),
        (raised(TimeoutError(), ReadTimeout(), OSError("x")), "the Hub does not answer in time"),
        (raised(OSError(113, "No route: unreachable"), OSError()), "the host cannot be reached"),
        (
            raised(ssl.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), ConnectError()),
            "the certificate of the Hub cannot be verified",
        ),
        (raised(ResponseError("too many 503 error responses"), OSError()), "the Hub is out of ord"),
    ],
)
def test_the_cause_is_found_below_what_wraps_it(error, cause, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert cause_of(error, "the Hub").startswith(cause)
    assert len(cause_of(error, "the Hub").splitlines()) == 1


def test_errors_of_no_network_keep_their_words():
    assert known_cause(ValueError("a\nb"), "the Hub") == ""
    assert cause_of(ValueError("\na\nb"), "the Hub") == "a"
    assert cause_of(ValueError(), "the Hub") == "ValueError"


def test_braces_of_a_message_stay(monkeypatch):
    error = OSError("unreachable {x}")
    monkeypatch.setenv("https_proxy", "")
    assert "{x}" in cause_of(error, "the Hub")


def test_a_circle_of_causes_ends():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert list(chain(first)) == [first, second]
    assert status_of(first) is None
