"""What passes between the wire and the applications."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Headers: TypeAlias = "dict[bytes, bytes | list[bytes]]"


class Request(NamedTuple):
    """One handler message of Mongrel2, parsed, nothing decoded.

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
