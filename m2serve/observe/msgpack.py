"""Bytes of msgpack, as uWSGI's encoder writes them: whole numbers signed, texts without the form for those of a byte's
length, which older readers do not know.
"""

from __future__ import annotations

import struct


def text(value: bytes) -> bytes:
    """A string."""
    size = len(value)
    if size < 32:
        return b"%c%b" % (0xA0 | size, value)
    return (struct.pack(">BH", 0xDA, size) if size < 1 << 16 else struct.pack(">BI", 0xDB, size)) + value


def binary(value: bytes) -> bytes:
    """Bytes that are no text."""
    size = len(value)
    if size < 1 << 8:
        return struct.pack(">BB", 0xC4, size) + value
    return (struct.pack(">BH", 0xC5, size) if size < 1 << 16 else struct.pack(">BI", 0xC6, size)) + value


def integer(value: int) -> bytes:
    """A whole number of 64 bits at most."""
    if 0 < value < 128 or -32 <= value < 0:
        return struct.pack(">b", value)
    for code, form, bits in ((0xD0, ">Bb", 8), (0xD1, ">Bh", 16), (0xD2, ">Bi", 32)):
        if -1 << bits - 1 <= value < 1 << bits - 1:
            return struct.pack(form, code, value)
    return struct.pack(">Bq", 0xD3, value)


def real(value: float) -> bytes:
    """A number of 32 bits."""
    return struct.pack(">Bf", 0xCA, value)


def map_of(count: int) -> bytes:
    """What stands before so many pairs."""
    return _head(count, 0x80, 0xDE)


def array_of(count: int) -> bytes:
    """What stands before so many items."""
    return _head(count, 0x90, 0xDC)


def _head(count: int, short: int, long: int) -> bytes:
    if count < 16:
        return b"%c" % (short | count)
    return struct.pack(">BH", long, count) if count < 1 << 16 else struct.pack(">BI", long + 1, count)


NIL, TRUE, FALSE = b"\xc0", b"\xc3", b"\xc2"
