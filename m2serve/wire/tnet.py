"""Tagged netstrings: reading with limits, writing; the only user of the ``tnetstring`` library.

A tagged netstring is ``SIZE:bytes`` and one tag byte: ``,`` bytes, ``#`` integer, ``^`` float, ``!`` boolean,
``~`` null, ``]`` list, ``}`` dictionary. SIZE is decimal, without sign or leading zero.
"""

from __future__ import annotations

import tnetstring

from m2serve.errors import LocalProtocolError, RemoteProtocolError

MAX_SIZE = 2**31 - 1
"""No part of a handler message can be larger: Mongrel2 keeps sizes in a C ``int``."""

_MAX_DIGITS = 10


def span(raw: bytes, start: int, limit: int = MAX_SIZE) -> tuple[int, int]:
    """Locate the content of the tagged netstring that begins at *start*.

    Returns: begin and end of the content; the tag is the byte at *end*, which exists.
    Raises: RemoteProtocolError: no proper size, more than *limit* bytes, or cut short.
    """
    colon = raw.find(b":", start, start + _MAX_DIGITS + 1)
    digits = raw[start:colon]
    # bytes.isdigit() accepts ASCII digits only, unlike int(), which also takes signs, blanks and underscores
    if colon < 0 or not digits.isdigit() or (digits[0] == 0x30 and len(digits) > 1):
        raise RemoteProtocolError(f"expected the size of a netstring at byte {start}")
    size = int(digits)
    if size > limit:
        raise RemoteProtocolError(f"netstring of {size} bytes, the limit is {limit}", status=413)
    end = colon + 1 + size
    if end >= len(raw):
        raise RemoteProtocolError(f"netstring at byte {start} is cut short: {size} bytes expected")
    return colon + 1, end


def loads(raw: bytes) -> object:
    """Decode *raw*, which is one tagged netstring from end to end.

    Raises: RemoteProtocolError: it is anything else.
    """
    try:
        value, rest = tnetstring.pop(raw)
    except (ValueError, RecursionError, TypeError, OverflowError) as error:
        # TypeError: a list or a dictionary as the key of a dictionary
        raise RemoteProtocolError(f"broken tnetstring: {error}") from None
    if rest:
        raise RemoteProtocolError(f"{len(rest)} bytes after a tnetstring")
    return value


def dump(value: object) -> bytes:
    """Encode bytes, integers, booleans, None, lists, tuples and dictionaries with keys of bytes.

    Mongrel2 crashes on an extended answer with an unknown tag or a bad integer, so nothing else passes.

    Raises: LocalProtocolError: *value*, or something in it, has another type.
    """
    if isinstance(value, bytes):
        return b"%d:%b," % (len(value), value)
    if value is None:
        return b"0:~"
    if value is True:
        return b"4:true!"
    if value is False:
        return b"5:false!"
    if isinstance(value, int):
        digits = b"%d" % value
        return b"%d:%b#" % (len(digits), digits)
    if isinstance(value, (list, tuple)):
        content = b"".join([dump(item) for item in value])
        return b"%d:%b]" % (len(content), content)
    if isinstance(value, dict):
        content = b"".join([_key(key) + dump(item) for key, item in value.items()])
        return b"%d:%b}" % (len(content), content)
    raise LocalProtocolError(f"cannot send a {type(value).__name__} as tnetstring")


def _key(key: object) -> bytes:
    if not isinstance(key, bytes):
        raise LocalProtocolError(f"a tnetstring key must be bytes, not {type(key).__name__}")
    return dump(key)
