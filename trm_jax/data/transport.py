"""Why a file or an answer did not come through a network: one clause that names the true cause.

Clients wrap one error in another (a library's in urllib3's in the socket's), and the outermost says
"cannot connect" of everything. `cause_of` looks along the whole chain, from the innermost error
out. Errors of HTTP libraries are known by the names of their classes, since which library it is
(httpx, requests, urllib3) depends on the client's version, and none is a package of ours.

Not here: what is downloaded, and what the user can do about it besides (hub.py, export/aihub).
"""

import re
import socket
import ssl
import urllib.request
from collections.abc import Iterator

STATUS_TEXTS = {
    401: "{who} asks for a login (401)",
    403: "{who} refuses access (403)",
    404: "{who} has no such thing (404)",
    407: "the proxy asks for a login (407)",
    408: "{who} gave up waiting (408); try again",
    429: "{who} takes no more requests for now (429); try again in some minutes",
}
"""What an HTTP status means; others are named by their hundreds."""

SLOW = {"ConnectTimeout", "ConnectTimeoutError", "PoolTimeout", "ReadTimeout", "ReadTimeoutError"}
SLOW |= {"Timeout", "TimeoutException", "WriteTimeout"}
CUT = {"ChunkedEncodingError", "IncompleteRead", "ProtocolError", "ReadError", "RemoteDisconnected"}
CUT |= {"LocalProtocolError", "RemoteProtocolError", "WriteError"}
NO_JSON = {"DecodeError", "InvalidJSONError", "JSONDecodeError"}
TOO_MANY = re.compile(r"too many (\d{3}) error responses")  # urllib3, of the status it retried
NO_HUB = {"FileMetadataError"}  # of huggingface_hub: an answer without the Hub's headers


def chain(error: BaseException) -> Iterator[BaseException]:
    """List an error and those that it came from, the outermost first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def cause_of(error: BaseException, who: str) -> str:
    """Say why a request failed.

    Args:
      error: what the client raised.
      who: was asked, as in "the Hub".
    """
    return known_cause(error, who) or first_line(error)


def known_cause(error: BaseException, who: str) -> str:
    """Say why a request failed, or nothing where the cause is none of a network."""
    links = list(chain(error))[::-1]
    for test in (_proxy, _status, _secure, _name, _redirects, _slow, _refused, _foreign, _cut):
        for link in links:
            if text := test(link):
                through = "" if test in (_proxy, _status) else proxy_text()
                return text.format(who=who) + through
    return ""


def proxy_text() -> str:
    """Name the proxy that requests go through, for it may be what fails; else empty."""
    proxies = urllib.request.getproxies()
    proxy = next((proxies[kind] for kind in ("https", "http", "all") if kind in proxies), "")
    address = proxy.rpartition("@")[2]  # no passwords in messages
    return f" (through the proxy {address}, see HTTPS_PROXY)" if address else ""


def status_of(error: BaseException) -> int | None:
    """Find the HTTP status that an error, or one that it came from, carries."""
    return next((status for link in chain(error) if (status := own_status(link))), None)


def own_status(error: BaseException) -> int | None:
    """Read the HTTP status that an error itself carries, in the ways of the known clients."""
    for holder in (getattr(error, "response", None), error):
        if isinstance(status := getattr(holder, "status_code", None), int):
            return status
    retried = TOO_MANY.search(str(error)) if has_class(error, {"ResponseError"}) else None
    return int(retried[1]) if retried else None


def first_line(error: BaseException) -> str:
    """Take the first line of an error that says something, else the name of its class."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)


def braced(error: BaseException) -> str:
    """Take an error's first line into a text that is formatted later."""
    return first_line(error).replace("{", "{{").replace("}", "}}")


def has_class(error: BaseException, names: set[str]) -> bool:
    """Return whether an error is of a class, or of a class below one, that has one of the names."""
    return any(kind.__name__ in names for kind in type(error).__mro__)


def _status(error: BaseException) -> str:
    status = own_status(error)
    if status is None or status < 400:
        return ""
    return STATUS_TEXTS.get(
        status,
        f"{{who}} is out of order ({status}); try again later"
        if status >= 500
        else f"{{who}} refuses the request ({status})",
    )


def _proxy(error: BaseException) -> str:
    named = has_class(error, {"ProxyError", "ProxySchemeUnknown", "InvalidProxyURL"})
    if not named and "proxy URL" not in str(error):
        return ""
    return f"the proxy cannot be used ({braced(error)}); see HTTPS_PROXY and HTTP_PROXY"


def _secure(error: BaseException) -> str:
    if not isinstance(error, ssl.SSLError) and "CERTIFICATE_VERIFY_FAILED" not in str(error):
        return ""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"the certificate of {{who}} cannot be verified ({braced(error)})"
    return f"no encrypted connection comes about ({braced(error)})"


def _name(error: BaseException) -> str:
    unknown = isinstance(error, socket.gaierror) or has_class(error, {"NameResolutionError"})
    return "the name of the host cannot be found (no network, or no name server)" if unknown else ""


def _redirects(error: BaseException) -> str:
    return "{who} redirects in a circle" if has_class(error, {"TooManyRedirects"}) else ""


def _slow(error: BaseException) -> str:
    slow = isinstance(error, TimeoutError) or has_class(error, SLOW)
    return "{who} does not answer in time" if slow else ""


def _refused(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused"
    unreachable = isinstance(error, OSError) and "nreachable" in str(error)
    return f"the host cannot be reached ({braced(error)})" if unreachable else ""


def _foreign(error: BaseException) -> str:
    answered = own_status(error)  # an error although all is well: the client cannot read it
    foreign = answered is not None and answered < 300
    foreign = foreign or has_class(error, NO_JSON | NO_HUB)
    return "what answers is another service (a login page of the network?)" if foreign else ""


def _cut(error: BaseException) -> str:
    cut = isinstance(error, ConnectionError) or has_class(error, CUT)
    return "the connection was cut" if cut else ""
