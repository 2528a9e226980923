"""The WSGI environ of a request (PEP 3333; RFC 3875 for the CGI variables)."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from m2serve.gateways.filewrapper import FileWrapper

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from m2serve.gateways.base import Body, Environ
    from m2serve.message import Headers, Request

_V = TypeVar("_V")

_new = tuple.__new__

_CACHED_NAMES = 2048
_CACHED_HOSTS = 512
_CACHED_PATTERNS = 512
_CACHED_SENDERS = 64
_LONGEST_CACHED = 128
"""Longer keys are worked out each time: what a client can fill must stay small."""

# RFC 9110 token, in the lower case that Mongrel2 gives, without "_": it could not be told from "-" in a variable
_NAME = re.compile(rb"[a-z0-9!#$%&'*+.^`|~-]+")
_OWN_NAME = re.compile(rb"[A-Z0-9_]*[A-Z][A-Z0-9_]*")
_HOST = re.compile(rb"([A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{0,5}))?")
_SLASH = re.compile(rb"%2[fF]")

_DROPPED = ""
# CONTENT_LENGTH comes from the body; the upload headers name files, and nobody has checked them
_SPECIAL_NAMES = {
    b"content-type": "CONTENT_TYPE",
    b"content-length": _DROPPED,
    b"host": _DROPPED,
    b"x-mongrel2-upload-start": _DROPPED,
    b"x-mongrel2-upload-done": _DROPPED,
}
_ALWAYS = (
    "REQUEST_METHOD",
    "SERVER_PROTOCOL",
    "REMOTE_ADDR",
    "REQUEST_URI",
    "RAW_URI",
    "SCRIPT_NAME",
    "PATH_INFO",
    "SERVER_NAME",
    "SERVER_PORT",
    "wsgi.url_scheme",
    "wsgi.input",
    "mongrel2.sender",
    "mongrel2.conn_id",
    "m2serve.endpoint",
    "m2serve.client",
    "m2serve.request_id",
)
# the variables of what a door's codec writes in upper case; without Host it tells where the request was for
_DOOR_NAMES = {
    **_SPECIAL_NAMES,
    b"METHOD": "REQUEST_METHOD",
    b"URI": "REQUEST_URI",
    b"VERSION": "SERVER_PROTOCOL",
    b"QUERY": "QUERY_STRING",
    b"REMOTE_ADDR": "REMOTE_ADDR",
    b"URL_SCHEME": "wsgi.url_scheme",
    b"SERVER_NAME": "SERVER_NAME",
    b"SERVER_PORT": "SERVER_PORT",
    b"PATH": _DROPPED,
}
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Client(NamedTuple):
    """Names a client's connection as long as it lasts: ``m2serve.client`` in the environ."""

    sender: bytes
    conn_id: bytes


class _Host(NamedTuple):
    text: str
    name: str
    port: str
    """Empty: the default of the scheme."""


class EnvironBuilder:
    """Makes environs.

    Threads: any may call :meth:`build`; what is shared are caches, whose single operations are atomic.

    Args:
        errors: ``wsgi.errors``.
        server_name, server_port: for requests without a usable Host; an empty port is the scheme's default.
        keep_encoded_slashes: leave ``%2F`` in paths as it is.
        file_wrapper: there is ``wsgi.file_wrapper``.
        extra: what else every environ has.
    """

    def __init__(
        self,
        *,
        errors: TextIO,
        multithread: bool,
        multiprocess: bool,
        server_name: str,
        server_port: str = "",
        software: str = "m2serve",
        keep_encoded_slashes: bool = False,
        file_wrapper: bool = True,
        extra: Environ | None = None,
    ) -> None:
        self._base: Environ = {
            "wsgi.version": (1, 0),
            "wsgi.errors": errors,
            "wsgi.multithread": multithread,
            "wsgi.multiprocess": multiprocess,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            **({"wsgi.file_wrapper": FileWrapper} if file_wrapper else {}),
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_SOFTWARE": software,
            "QUERY_STRING": "",
            # set in every request: being here already, they need no room made for them
            **dict.fromkeys(_ALWAYS, ""),
            **(extra or {}),
        }
        self._door_base = {key: value for key, value in self._base.items() if not key.startswith("mongrel2.")}
        text = f"{server_name}:{server_port}" if server_port else server_name
        self._default = _Host(text, server_name, server_port)
        self._keep_encoded_slashes = keep_encoded_slashes
        self._names: dict[bytes, str] = {}
        self._door_names: dict[bytes, str] = {}
        self._hosts: dict[bytes, _Host | None] = {}
        self._prefixes: dict[bytes, bytes] = {}
        self._senders: dict[bytes, str] = {}

    def build(self, request: Request, request_id: str) -> Environ:
        """Make the environ of an admitted HTTP request; SCRIPT_NAME is the literal part of the route."""
        environ = self.template(request)
        self.complete(environ, request, request_id)
        return environ

    def complete(self, environ: Environ, request: Request, request_id: str) -> None:
        """Add to (a copy of) a template what belongs to one request only."""
        sender, conn_id, _, _, body, _, _, port = request
        name = self._senders.get(sender)
        if name is None:
            name = sender.decode("latin-1")
            _remember(self._senders, sender, name, _CACHED_SENDERS)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["m2serve.endpoint"] = name
        if port is None:
            environ["mongrel2.sender"] = name
            environ["mongrel2.conn_id"] = conn_id.decode("latin-1")
        elif port:
            environ["REMOTE_PORT"] = str(port)
        environ["m2serve.client"] = _new(Client, (sender, conn_id))
        environ["m2serve.request_id"] = request_id

    def attach(self, environ: Environ, body: Body) -> None:
        """Put a body that does not lie in the message into a completed environ."""
        environ["wsgi.input"] = body.input
        if body.length is None:
            environ.pop("CONTENT_LENGTH", None)
        else:
            environ["CONTENT_LENGTH"] = str(body.length)
        # Mongrel2 has taken the chunks apart: who believes this header would do it once more
        environ.pop("HTTP_TRANSFER_ENCODING", None)

    def template(self, request: Request) -> Environ:
        """The environ as far as it is the same for all requests with these headers and a body of this length."""
        if request.port is not None:
            return self._of_door(request)
        headers = request.headers
        environ = self._base.copy()
        _add_headers(headers, self._names, self._name, environ)
        self._split_path(headers, environ)
        own = environ.get
        environ["REQUEST_METHOD"] = own("mongrel2.METHOD", "GET")
        environ["SERVER_PROTOCOL"] = own("mongrel2.VERSION", "HTTP/1.1")
        environ["REMOTE_ADDR"] = own("mongrel2.REMOTE_ADDR", "")
        environ["REQUEST_URI"] = environ["RAW_URI"] = own("mongrel2.URI") or environ["mongrel2.PATH"]
        query = own("mongrel2.QUERY")
        if query is not None:
            environ["QUERY_STRING"] = query
        scheme = own("mongrel2.URL_SCHEME", "http")
        environ["wsgi.url_scheme"] = scheme

        host = self._add_host_and_length(request, environ)
        environ["SERVER_NAME"] = host.name
        environ["SERVER_PORT"] = host.port or _DEFAULT_PORTS.get(scheme, "80")
        return environ

    def script_name(self, request: Request) -> str:
        """SCRIPT_NAME of a template, when it is no longer known: an application was chosen since."""
        if request.variables is not None:
            return request.variables.get("SCRIPT_NAME", "")
        if request.port is not None:
            return ""
        found: Environ = {}
        self._split_path(request.headers, found)
        script: str = found["SCRIPT_NAME"]
        return script

    def _of_door(self, request: Request) -> Environ:
        """The same for what came by a door of ours: nothing of Mongrel2's is in it."""
        environ = self._door_base.copy()
        if request.variables is None:
            environ["SERVER_NAME"], environ["SERVER_PORT"] = self._default.name, self._default.port
            _add_headers(request.headers, self._door_names, self._door_name, environ)
            path = request.path
            environ["PATH_INFO"] = path.decode("latin-1") if b"%" not in path else self._decode(path)
            named = b"host" in request.headers
        else:
            environ.update(request.variables)
            scheme = request.headers[b"URL_SCHEME"]
            assert type(scheme) is bytes
            environ["wsgi.url_scheme"] = scheme.decode("ascii")
            named = not (environ["SERVER_NAME"] and environ["SERVER_PORT"].isdecimal())
        environ["RAW_URI"] = environ["REQUEST_URI"]
        host = self._add_host_and_length(request, environ)
        if named:
            environ["SERVER_NAME"], environ["SERVER_PORT"] = host.name, host.port
        if not environ["SERVER_PORT"]:
            environ["SERVER_PORT"] = _DEFAULT_PORTS.get(environ["wsgi.url_scheme"], "80")
        return environ

    def _add_host_and_length(self, request: Request, environ: Environ) -> _Host:
        """Gives the host that the request is for: its own word, if it is usable, else ours."""
        host_header = request.headers.get(b"host")
        host = self._default
        if host_header is not None:
            host = self._host(host_header) or host
            environ["HTTP_HOST"] = host.text
        body = request.body
        if body or b"content-length" in request.headers:
            environ["CONTENT_LENGTH"] = str(len(body))
        return host

    def _split_path(self, headers: Headers, environ: Environ) -> None:
        """Divide PATH at the end of the route's literal part, if it ends where a segment of PATH ends."""
        path = headers[b"PATH"]
        pattern = headers.get(b"PATTERN", b"")
        assert type(path) is bytes and type(pattern) is bytes  # the codec lets no own key of Mongrel2 be a list
        prefix = self._prefixes.get(pattern)
        if prefix is None:
            prefix = literal_prefix(pattern)
            _remember(self._prefixes, pattern, prefix, _CACHED_PATTERNS)
        if prefix and path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/"):
            environ["SCRIPT_NAME"] = self._decode(prefix)
            path = path[len(prefix) :]
        else:
            environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = path.decode("latin-1") if b"%" not in path else self._decode(path)

    def _decode(self, path: bytes) -> str:
        if self._keep_encoded_slashes:
            pieces = [unquote_to_bytes(piece) for piece in _SLASH.split(path)]
            return b"%2F".join(pieces).decode("latin-1")
        return unquote_to_bytes(path).decode("latin-1")

    def _name(self, key: bytes) -> str:
        """Name the variable for a header; empty: it gets none."""
        name = _SPECIAL_NAMES.get(key)
        if name is None:
            name = _header_name(key)
            if not name and _OWN_NAME.fullmatch(key):
                name = "mongrel2." + key.decode("ascii")
        _remember(self._names, key, name, _CACHED_NAMES)
        return name

    def _door_name(self, key: bytes) -> str:
        """The same for what comes by a door."""
        name = _DOOR_NAMES.get(key)
        if name is None:
            name = _header_name(key)
        _remember(self._door_names, key, name, _CACHED_NAMES)
        return name

    def _host(self, header: bytes | list[bytes]) -> _Host | None:
        """Read a Host header; None: it is not usable."""
        if type(header) is not bytes:
            return None
        try:
            return self._hosts[header]
        except KeyError:
            host = parse_host(header)
            _remember(self._hosts, header, host, _CACHED_HOSTS)
            return host


def _add_headers(headers: Headers, names: dict[bytes, str], name_of: Callable[[bytes], str], environ: Environ) -> None:
    """Put the headers that have a variable into it.

    Args: names: those that are known; *name_of* finds, and remembers, others.
    """
    for key, value in headers.items():
        name = names.get(key)
        if name is None:
            name = name_of(key)
        if name:
            if isinstance(value, bytes):
                environ[name] = value.rstrip(b" \t").decode("latin-1")
            else:
                separator = b"; " if key == b"cookie" else b", "
                environ[name] = separator.join(value).decode("latin-1")


def _header_name(key: bytes) -> str:
    """The variable for a client's header; empty: it gets none."""
    return "HTTP_" + key.decode("ascii").upper().replace("-", "_") if _NAME.fullmatch(key) else _DROPPED


def literal_prefix(pattern: bytes) -> bytes:
    """The part of a route up to its first ``(``, cut at a ``/``, without a slash at its end."""
    literal, paren, _ = pattern.partition(b"(")
    if paren:
        literal = literal[: literal.rfind(b"/") + 1]
    # routes of JSON and XML sockets begin with other characters and never get here
    return literal.rstrip(b"/") if literal.startswith(b"/") else b""


def parse_host(header: bytes) -> _Host | None:
    """Read a Host header: a name, an IPv4 address or ``[IPv6]``, then perhaps a port; None: it is none."""
    match = _HOST.fullmatch(header.rstrip(b" \t"))
    if match is None:
        return None
    name, digits = match.groups()
    # digits: None without a colon, empty after one (which RFC 3986 allows)
    if digits and not 0 < int(digits) <= 65535:
        return None
    port = str(int(digits)) if digits else ""
    return _Host(match.group().decode("ascii"), name.decode("ascii"), port)


def _remember(cache: dict[bytes, _V], key: bytes, value: _V, limit: int) -> None:
    """Keep *value*, without letting clients fill the memory: a full cache starts again."""
    if len(key) > _LONGEST_CACHED:
        return
    if len(cache) >= limit:
        cache.clear()
    cache[key] = value
