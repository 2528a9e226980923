"""ZMTP 3.1 as Mongrel2's sockets speak it, without a socket.

Two rules for this file: bytes in, values out; any chunking of the same bytes gives the same values.

Only what a PULL or XPUB needs towards a PUSH or SUB is here: greeting, NULL mechanism, READY, messages, and the
PING/PONG commands. Sources: the ZeroMQ RFCs 23 (ZMTP 3.0) and 37 (ZMTP 3.1); Mongrel2 1.12.2 with libzmq 4.3.4, seen
on the wire.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from m2serve.errors import RemoteProtocolError

MORE: Final = 0x01
LONG: Final = 0x02
COMMAND: Final = 0x04

GREETING_SIZE: Final = 64
GREETING: Final = (
    b"\xff" + bytes(8) + b"\x7f"  # signature
    + b"\x03\x01"  # version 3.1: the first that has PING
    + b"NULL".ljust(20, b"\0")
    + b"\0"  # as-server, without meaning for NULL
    + bytes(31)
)  # fmt: skip


class Frame(NamedTuple):
    """One frame: ``flags`` as on the wire without LONG, and its body."""

    flags: int
    body: bytes


def frame_header(size: int, flags: int = 0) -> bytes:
    """Flags and length that go before a body of *size* bytes."""
    if size < 256:
        return bytes((flags, size))
    return bytes((flags | LONG,)) + size.to_bytes(8, "big")


def command(name: bytes, data: bytes = b"") -> bytes:
    """A whole command frame."""
    body = bytes((len(name),)) + name + data
    return frame_header(len(body), COMMAND) + body


def ready(socket_type: bytes) -> bytes:
    """The READY command of the NULL mechanism with the one property that peers check."""
    return command(b"READY", b"\x0bSocket-Type" + len(socket_type).to_bytes(4, "big") + socket_type)


def ping(context: bytes) -> bytes:
    """PING; the peer sends *context* (at most 16 bytes) back. TTL 0: it sets no timer of its own."""
    return command(b"PING", b"\0\0" + context)


def pong(context: bytes) -> bytes:
    """The answer to a PING that carried *context*."""
    return command(b"PONG", context)


def split_command(body: bytes) -> tuple[bytes, bytes]:
    """Name and data of a command frame's body.

    Raises:
        RemoteProtocolError: the name is longer than the frame.
    """
    if not body or body[0] + 1 > len(body):
        raise RemoteProtocolError("ZMTP command without a name")
    end = body[0] + 1
    return body[1:end], body[end:]


class Decoder:
    """Frames out of a byte stream.

    Args:
        limit: the largest body accepted, in bytes; a peer that announces more is broken or hostile.
    """

    __slots__ = ("_buffer", "_limit", "_need", "_parts", "_pending")

    def __init__(self, limit: int = 1 << 30) -> None:
        self._buffer = b""
        self._limit = limit
        self._parts: list[bytes] = []
        self._pending = 0
        self._need = 0

    @property
    def pending(self) -> int:
        """Bytes received that do not make a frame yet."""
        return self._pending

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take *chunk*; give every frame that is now complete.

        Raises:
            RemoteProtocolError: reserved flag bits, or a frame over the limit.
        """
        self._pending += len(chunk)
        if self._pending < self._need:  # joined once, when the frame is complete: a big one comes in many chunks
            self._parts.append(chunk)
            return []
        data = b"".join((self._buffer, *self._parts, chunk)) if self._pending > len(chunk) else chunk
        self._parts.clear()
        self._need = 0
        frames: list[Frame] = []
        at, end = 0, len(data)
        while end - at >= 2:
            flags = data[at]
            if flags & ~(MORE | LONG | COMMAND):
                raise RemoteProtocolError(f"ZMTP frame with reserved flags 0x{flags:02x}")
            if flags & LONG:
                start = at + 9
                if end < start:
                    break
                size = int.from_bytes(data[at + 1 : start], "big")
            else:
                start = at + 2
                size = data[at + 1]
            if size > self._limit:
                raise RemoteProtocolError(f"ZMTP frame of {size} bytes, at most {self._limit} expected")
            if end < start + size:
                self._need = start + size - at
                break
            frames.append(Frame(flags & ~LONG, data[start : start + size]))
            at = start + size
        self._buffer = data[at:] if at else data
        self._pending = end - at
        return frames


class Handshake:
    """The peer's half of the opening: its greeting and its READY.

    Our half is two constants, sent by whoever owns the socket: :data:`GREETING` at once, :func:`ready` when it wants
    to be counted in. A PUSH deals us messages only after our READY.

    Args:
        expected: the socket types that make sense at the other end, for example ``(b"PUSH",)``.
    """

    __slots__ = ("_buffer", "_expected", "done", "taken")

    def __init__(self, *expected: bytes) -> None:
        self._buffer = b""
        self._expected = expected
        self.done = False
        self.taken = 0
        """Bytes that belonged to the handshake; the stream of frames starts after them."""

    def feed(self, chunk: bytes) -> bytes:
        """Take *chunk*; give what follows the handshake once it is done, else nothing.

        Raises:
            RemoteProtocolError: the peer is no ZMTP 3 NULL peer, or of the wrong socket type.
        """
        self._buffer += chunk
        data = self._buffer
        self._check_greeting(data)
        if len(data) < GREETING_SIZE + 2:
            return b""
        flags = data[GREETING_SIZE]
        if not flags & COMMAND:
            raise RemoteProtocolError("ZMTP peer sent a message before READY")
        size_end = GREETING_SIZE + (9 if flags & LONG else 2)
        if len(data) < size_end:
            return b""
        size = int.from_bytes(data[GREETING_SIZE + 1 : size_end], "big")
        if size > 4096:
            raise RemoteProtocolError(f"ZMTP READY of {size} bytes")
        end = size_end + size
        if len(data) < end:
            return b""
        self._check_ready(data[size_end:end])
        self.done, self.taken = True, end
        self._buffer = b""
        return data[end:]

    @property
    def missing(self) -> int:
        """How many bytes may be read without reading past the handshake."""
        data = self._buffer
        if len(data) < GREETING_SIZE + 2:
            return GREETING_SIZE + 2 - len(data)
        long = data[GREETING_SIZE] & LONG
        size_end = GREETING_SIZE + (9 if long else 2)
        if len(data) < size_end:
            return size_end - len(data)
        return size_end + int.from_bytes(data[GREETING_SIZE + 1 : size_end], "big") - len(data)

    def _check_greeting(self, data: bytes) -> None:
        if data[:1] != b"\xff"[: len(data)] or (len(data) >= 10 and data[9] & 0x01 == 0):
            raise RemoteProtocolError("peer does not speak ZMTP (no greeting)")
        if len(data) > 10 and data[10] < 3:
            raise RemoteProtocolError(f"peer speaks ZMTP {data[10]}, 3.0 or newer expected")
        if len(data) >= 32 and data[12:32].rstrip(b"\0") != b"NULL":
            mechanism = data[12:32].rstrip(b"\0").decode("latin-1")
            raise RemoteProtocolError(f"peer wants the security mechanism {mechanism!r}, NULL expected")

    def _check_ready(self, body: bytes) -> None:
        name, data = split_command(body)
        if name == b"ERROR":
            raise RemoteProtocolError(f"peer refuses the connection: {data[1:].decode('latin-1')}")
        if name != b"READY":
            raise RemoteProtocolError(f"ZMTP {name.decode('latin-1')} where READY was expected")
        properties = _properties(data)
        kind = properties.get(b"socket-type", b"")
        if kind not in self._expected:
            wanted = " or ".join(k.decode() for k in self._expected)
            raise RemoteProtocolError(
                f"peer is a {kind.decode('latin-1')!r} socket, {wanted} expected (are send_spec and recv_spec swapped?)"
            )


def _properties(data: bytes) -> dict[bytes, bytes]:
    """READY's metadata; names are case-insensitive."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        value_start = name_end + 4
        size = int.from_bytes(data[name_end:value_start], "big")
        value_end = value_start + size
        if value_end > len(data):
            raise RemoteProtocolError("ZMTP metadata is cut off")
        found[data[at + 1 : name_end].lower()] = data[value_start:value_end]
        at = value_end
    return found


def subscription(frame: Frame) -> tuple[bool, bytes] | None:
    """What a SUB says to an XPUB: ``(True, topic)`` for subscribe, ``(False, topic)`` for cancel, else None.

    ZMTP 3.0 peers send a message of 01 or 00 and the topic, 3.1 peers a SUBSCRIBE or CANCEL command.
    """
    if frame.flags & COMMAND:
        name, data = split_command(frame.body)
        if name == b"SUBSCRIBE":
            return True, data
        if name == b"CANCEL":
            return False, data
        return None
    if frame.body[:1] == b"\x01":
        return True, frame.body[1:]
    if frame.body[:1] == b"\x00":
        return False, frame.body[1:]
    return None
