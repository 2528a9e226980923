"""What passes between the wire and the applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Headers: TypeAlias = "dict[bytes, bytes | list[bytes]]"


class Request(NamedTuple):
    """One request, parsed, nothing decoded: a handler message of Mongrel2's, or the same made of what came by a door.

    ``headers`` holds Mongrel2's own keys in upper case (``METHOD``, ``URI``…) beside the client's in lower
    case; a client cannot produce an upper-case key. A header sent more than once is a list, in order.
    """

    sender: bytes
    conn_id: bytes
    path: bytes
    headers: Headers
    body: bytes
    key: bytes = b""
    """Equal for requests that differ in sender and connection only; empty: this one is not known to repeat itself.
    ``headers`` of such requests may be one and the same dictionary: nobody changes it."""
    variables: Mapping[str, str] | None = None
    """CGI variables, where a web server in front has made them of the request (uwsgi, FastCGI, SCGI): they are the
    environ then, and ``headers`` are there for the log alone. Values are Latin-1 text, names are checked."""
    port: int | None = None
    """The client's, where the request came by a door of ours: 0 where it has none, or nobody knows it. None: it came
    by Mongrel2."""
