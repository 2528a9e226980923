"""CGI variables (RFC 3875), in which web servers write requests down for uwsgi, FastCGI and SCGI.

What nginx sends by its stock files is no clean CGI: ``fastcgi_params`` and ``scgi_params`` have the whole path as
SCRIPT_NAME and no PATH_INFO. Whoever adds PATH_INFO has the path twice. Both are mended here. And whatever a peer says
in UWSGI_FILE and the like is not even shown to anybody: in uWSGI these load any file of the host.
"""

from __future__ import annotations

import re
from posixpath import normpath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from m2serve.errors import RemoteProtocolError
from m2serve.message import Request
from m2serve.wire.memo import Memo, Sightings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from m2serve.message import Headers
    from m2serve.wire.door import Peer

_REPEATS = 512
_LARGEST_REPEAT = 4096
_NAMES = 2048
_LONGEST_NAME = 128

_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_ON = re.compile(r"on|1", re.IGNORECASE)
_SCHEMES = ("http", "https")

_DROPPED = frozenset(
    (
        # of the message between client and front end: the body comes as it was meant
        b"HTTP_CONTENT_LENGTH",
        b"HTTP_CONTENT_TYPE",
        b"HTTP_TRANSFER_ENCODING",
        # they name files to Mongrel2's handlers, and Mongrel2 has not written them
        b"HTTP_X_MONGREL2_UPLOAD_START",
        b"HTTP_X_MONGREL2_UPLOAD_DONE",
        # ours to say
        b"SERVER_SOFTWARE",
        b"GATEWAY_INTERFACE",
    )
)
_NONE_IF_EMPTY = ("CONTENT_TYPE", "REMOTE_USER", "SERVER_NAME", "SERVER_PORT")
_CODING = "m2serve.coding"
"""Where HTTP_TRANSFER_ENCODING is until it was looked at: no variable of a peer's can have this name."""


class Name(NamedTuple):
    """What becomes of one variable."""

    variable: str
    """Empty: it is dropped."""
    header: bytes
    """As the request log knows it; empty: it is none."""


class Block(NamedTuple):
    """The variables of one request, and what they say."""

    path: bytes
    headers: Headers
    variables: dict[str, str]
    length: int | None
    """Bytes of the body; None: not said."""
    coded: bool
    """The client has sent chunks: without a length nothing tells how long the body is."""


class Known(NamedTuple):
    """A block that was seen before."""

    block: Block
    key: bytes


class Reader:
    """Variables to requests for the connections of one door; remembers what comes again and again.

    Threads: any.

    Args:
        kind: of the protocol, a few letters: one block is another request in another protocol.
        pairs: takes a block apart.
        whole_path: a SCRIPT_NAME that is the whole path of the request is not meant as one (nginx' stock files).
    """

    def __init__(
        self, kind: bytes, pairs: Callable[[bytes], Iterable[tuple[bytes, bytes]]], *, whole_path: bool
    ) -> None:
        self._prefix = b"\0%b\0" % kind
        self._pairs = pairs
        self._whole_path = whole_path
        self._names: dict[bytes, Name] = {}
        self._known: Memo[bytes, Known] = Memo(_REPEATS)
        self._seen = Sightings()

    def read(self, raw: bytes, peer: Peer) -> tuple[Request, Block]:
        """Make a request of a block of variables.

        Raises: RemoteProtocolError: it is none, or not of a request.
        """
        known = self._known.get(raw)
        if known is None:
            block = self._read(raw)
            key = b""
            if not block.length and len(raw) <= _LARGEST_REPEAT and self._seen.again(raw):
                key = self._prefix + raw
                self._known.put(raw, Known(block, key))
        else:
            block, key = known
        request = Request(peer.sender, peer.conn_id, block.path, block.headers, b"", key, block.variables, 0)
        return request, block

    def _read(self, raw: bytes) -> Block:
        headers: Headers = {b"METHOD": b"", b"URI": b"", b"VERSION": b"", b"PATH": b""}
        variables: dict[str, str] = {}
        names = self._names
        for key, value in self._pairs(raw):
            known = names.get(key)
            if known is None:
                known = self._learn(key)
            name, header = known
            if name:
                if name in variables:
                    value = _again(name, header, value, variables)
                variables[name] = value.decode("latin-1")
                if header:
                    headers[header] = value
        if "\0" in "".join(variables.values()):
            raise RemoteProtocolError("a variable with a NUL in it")
        return _block(variables, headers, self._whole_path)

    def _learn(self, key: bytes) -> Name:
        variable, header = "", b""
        if key == b"HTTP_TRANSFER_ENCODING":
            variable = _CODING
        elif _NAME.fullmatch(key) and key not in _DROPPED and (key == b"UWSGI_SCHEME" or not key.startswith(b"UWSGI_")):
            variable = key.decode("ascii")
            if key.startswith(b"HTTP_"):
                header = key[5:].lower().replace(b"_", b"-")
        name = Name(variable, header)
        if len(key) <= _LONGEST_NAME:
            if len(self._names) >= _NAMES:
                self._names.clear()
            self._names[key] = name
        return name


def _again(name: str, header: bytes, value: bytes, variables: dict[str, str]) -> bytes:
    """The value of a variable that comes once more: a header is continued, of others the last one counts."""
    former = variables[name].encode("latin-1")
    if header:
        return former + (b"; " if header == b"cookie" else b", ") + value
    if name in ("CONTENT_LENGTH", "REQUEST_METHOD") and former != value:
        raise RemoteProtocolError(f"{name} comes twice, with different values")
    return value


def _block(variables: dict[str, str], headers: Headers, whole_path: bool) -> Block:
    """Mend the variables, and write down for the log what they say."""
    method = variables.get("REQUEST_METHOD", "")
    if not _TOKEN.fullmatch(method):
        raise RemoteProtocolError(f"not a REQUEST_METHOD: {method[:40]!a}" if method else "no REQUEST_METHOD")
    length = _length(variables)
    if length is not None:
        headers[b"content-length"] = b"%d" % length
    coded = variables.pop(_CODING, None) is not None
    for name in _NONE_IF_EMPTY:
        if variables.get(name) == "":
            del variables[name]
    scheme = _scheme(variables)
    uri = variables.get("REQUEST_URI")
    mend_path(variables, uri, whole_path)
    if not uri:
        uri = quote((variables["SCRIPT_NAME"] + variables["PATH_INFO"]).encode("latin-1"), safe="/:@!$&'()*+,;=~")
        if query := variables.get("QUERY_STRING"):
            uri += "?" + query
        variables["REQUEST_URI"] = uri
    path, question, query = uri.partition("?")
    if "QUERY_STRING" not in variables:
        variables["QUERY_STRING"] = query
    headers[b"METHOD"] = method.encode("ascii")
    headers[b"URI"] = uri.encode("latin-1")
    headers[b"VERSION"] = variables.setdefault("SERVER_PROTOCOL", "HTTP/1.1").encode("latin-1")
    headers[b"PATH"] = raw_path = path.encode("latin-1")
    if question:
        headers[b"QUERY"] = query.encode("latin-1")
    headers[b"REMOTE_ADDR"] = variables.get("REMOTE_ADDR", "").encode("latin-1")
    headers[b"URL_SCHEME"] = scheme.encode("ascii")
    return Block(raw_path, headers, variables, length, coded)


def _length(variables: dict[str, str]) -> int | None:
    text = variables.pop("CONTENT_LENGTH", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise RemoteProtocolError(f"CONTENT_LENGTH is not a number: {text[:40]!a}")
    return int(text)


def _scheme(variables: dict[str, str]) -> str:
    """``wsgi.url_scheme``: what uWSGI goes by, then what nginx' stock files say."""
    said = variables.pop("UWSGI_SCHEME", "").lower()
    if said in _SCHEMES:
        return said
    if _ON.match(variables.get("HTTPS", "")):
        return "https"
    said = variables.get("REQUEST_SCHEME", "").lower()
    return said if said in _SCHEMES else "http"


def _path_of(uri: str) -> str:
    """The decoded path of a request's target."""
    path = uri.partition("?")[0]
    if not path.startswith("/"):
        _, separator, rest = path.partition("://")
        path = "/" + rest.partition("/")[2] if separator else path
    return unquote_to_bytes(path.encode("latin-1")).decode("latin-1")


def mend_path(variables: dict[str, str], uri: str | None, whole_path: bool) -> None:
    """Set SCRIPT_NAME and PATH_INFO as PEP 3333 has them: together they are the path, each of them may be empty.

    Args:
        uri: the target of the request; None: nobody said.
        whole_path: see :class:`Reader`.
    """
    script = variables.get("SCRIPT_NAME", "").rstrip("/")
    info = variables.get("PATH_INFO")
    if info is None:
        # nobody has divided the path, so nobody knows better than our own mounts where to
        info = variables.get("SCRIPT_NAME") or variables.get("DOCUMENT_URI") or _path_of(uri or "/")
        script = ""
    elif script:
        said = (_path_of(uri) if uri else None, variables.get("DOCUMENT_URI"))
        paths = {_normal(path) for path in said if path}
        doubled = info.startswith(script) and info[len(script) : len(script) + 1] in ("", "/")
        if whole_path and (_normal(script) in paths if paths else script == info):
            script, info = "", variables["SCRIPT_NAME"]
        elif doubled and _normal(info) in paths:
            info = info[len(script) :]
    if not script and not info:
        info = "/"
    elif info and not info.startswith("/") and info != "*":
        info = "/" + info
    variables["SCRIPT_NAME"] = script
    variables["PATH_INFO"] = info


def _normal(path: str) -> str:
    """As nginx normalises what it calls $uri, and without a slash at the end."""
    return "/" + normpath(path).strip("/")
