"""What the codecs have in common whose requests are a head and then a counted number of bytes."""

from __future__ import annotations


class Buffered:
    """The part of a :class:`m2serve.wire.door.Codec` that keeps what has come."""

    __slots__ = ("_buffer", "_left", "_within", "ended")

    def __init__(self) -> None:
        self._buffer = b""
        self._within = False
        """A head was given."""
        self._left = 0
        """Bytes of the body that are still to come."""
        self.ended = True

    @property
    def idle(self) -> bool:
        """Nothing of a request has come."""
        return not self._buffer and not self._within

    def feed(self, data: bytes) -> None:
        """The peer has sent *data*."""
        self._buffer = self._buffer + data if self._buffer else data

    def body(self) -> bytes:
        """What has come of the body, and was not given before."""
        data = self._buffer
        if len(data) > self._left:
            self._buffer = data[self._left :]
            data = data[: self._left]
        else:
            self._buffer = b""
        self._left -= len(data)
        self.ended = not self._left
        return data

    def reply(self) -> bytes:
        """Nothing: the protocol says nothing by itself."""
        return b""

    def next(self) -> None:
        """The request is over."""
        self._within = False
        self._left = 0
        self.ended = True

    def end(self) -> bytes:
        """Nothing: the head of an answer, or the end of the connection, tells where it ends."""
        return b""
