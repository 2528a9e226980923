"""``http:ADDRESS``: a request goes to another server, and its answer comes back from there."""

from __future__ import annotations

import http.client
import logging
import socket
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from m2serve.errors import BodyError
from m2serve.gateways.routing.canned import canned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from m2serve.config.addresses import SocketAddress
    from m2serve.gateways.base import Environ

log = logging.getLogger("m2serve.route")

_PIECE: Final = 64 * 1024
_OF_ONE_HOP: Final = frozenset(
    "connection expect keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    "upgrade".split()
)
"""Headers that say something about a connection, and so nothing about ours to the other server."""
_URI: Final = "".join(chr(code) for code in range(0x21, 0x7F))


class _Connection(http.client.HTTPConnection):
    """To an address of any family."""

    def __init__(self, address: SocketAddress, timeout: float) -> None:
        super().__init__(address.host or "localhost", address.port or None, timeout=timeout)
        self._address = address

    def connect(self) -> None:
        """What the base class calls."""
        sock = socket.socket(self._address.family, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self._address.address)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class Proxy:
    """A WSGI application. Nothing is tried twice, and no connection is kept.

    Args:
        host: for the header Host, in place of the client's; empty: that one.
        patience: seconds for each step: the connection, the next bytes of the request, those of the answer.
    """

    def __init__(self, address: SocketAddress, host: str, patience: float) -> None:
        self._address = address
        self._host = host
        self._patience = patience

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        """Raises: BodyError: the client has not sent all of its body."""
        connection = _Connection(self._address, self._patience)
        try:
            answer = self._ask(connection, environ)
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            if isinstance(error, BodyError):
                raise
            late = isinstance(error, TimeoutError)
            log.warning("http:%s: %s: %s", self._address, type(error).__name__, error)
            return canned("504" if late else "502")(environ, start)
        except BaseException:
            connection.close()
            raise
        start(f"{answer.status} {answer.reason}".rstrip(), _answered(answer))
        return _Body(connection, answer)

    def _ask(self, connection: http.client.HTTPConnection, environ: Environ) -> http.client.HTTPResponse:
        connection.putrequest(environ["REQUEST_METHOD"], _uri(environ), skip_host=True, skip_accept_encoding=True)
        for name, value in self._headers(environ):
            connection.putheader(name, value)
        length, pieces = _body(environ)
        chunked = length is None and pieces is not None
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif length is not None:
            connection.putheader("Content-Length", str(length))
        connection.endheaders()
        for piece in pieces or ():
            try:
                connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            except (BrokenPipeError, ConnectionResetError):
                break  # it may have answered without reading all
        else:
            if chunked:
                connection.send(b"0\r\n\r\n")
        answer = connection.getresponse()
        if answer.status < 200:
            raise http.client.HTTPException(f"the other server answered {answer.status}")
        return answer

    def _headers(self, environ: Environ) -> Iterator[tuple[str, str]]:
        yield "Host", self._host or environ.get("HTTP_HOST") or environ["SERVER_NAME"]
        named = {one.strip().lower() for one in environ.get("HTTP_CONNECTION", "").split(",")}
        passed = {"x-forwarded-for", "x-forwarded-proto", "host", "content-length"} | named | _OF_ONE_HOP
        for key, value in environ.items():
            if key.startswith("HTTP_") and isinstance(value, str):
                name = key[5:].replace("_", "-").title()
                if name.lower() not in passed:
                    yield name, value
        if environ.get("CONTENT_TYPE"):
            yield "Content-Type", environ["CONTENT_TYPE"]
        earlier, client = environ.get("HTTP_X_FORWARDED_FOR", ""), environ.get("REMOTE_ADDR", "")
        known = [one.strip() for one in earlier.split(",") if one.strip()]
        if client and known[-1:] != [client]:
            known.append(client)
        if known:
            yield "X-Forwarded-For", ", ".join(known)
        yield "X-Forwarded-Proto", environ["wsgi.url_scheme"]
        yield "Connection", "close"


class _Body:
    """The answer's body as it comes."""

    def __init__(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._answer.read1(_PIECE):
            yield piece

    def close(self) -> None:
        """As PEP 3333 has it."""
        self._answer.close()
        self._connection.close()


def _answered(answer: http.client.HTTPResponse) -> list[tuple[str, str]]:
    """The headers that are the client's; of two lengths, or one that does not count, none."""
    named = {one.strip().lower() for one in answer.getheader("Connection", "").split(",")}
    dropped = named | _OF_ONE_HOP
    if answer.getheader("Transfer-Encoding") is not None:
        dropped |= {"content-length"}
    return [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]


def _uri(environ: Environ) -> str:
    """As the client has written it; what must not stand in a request line is quoted."""
    uri = environ.get("REQUEST_URI", "")
    if not uri.startswith("/"):
        query = environ.get("QUERY_STRING", "")
        path = quote(environ["SCRIPT_NAME"] + environ["PATH_INFO"], encoding="latin-1")
        uri = (path or "/") + (f"?{query}" if query else "")
    return quote(uri, safe=_URI, encoding="latin-1")


def _body(environ: Environ) -> tuple[int | None, Iterable[bytes] | None]:
    """Its length, if that is known, and its pieces, if there is one."""
    source, text = environ["wsgi.input"], environ.get("CONTENT_LENGTH", "")
    if text:
        return int(text), _pieces(source, b"", int(text))
    first = source.read(_PIECE)
    return None, _pieces(source, first, None) if first else None


def _pieces(source: Any, first: bytes, left: int | None) -> Iterator[bytes]:
    if first:
        yield first
    while left is None or left > 0:
        piece = source.read(_PIECE if left is None else min(_PIECE, left))
        if not piece:
            return
        left = None if left is None else left - len(piece)
        yield piece
