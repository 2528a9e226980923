"""One end of the SEQPACKET pair between master and child."""

from __future__ import annotations

import array
import errno
import os
import select
import socket
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from m2serve.errors import RemoteProtocolError
from m2serve.wire.link import MAX_MESSAGE, Verb, decode, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FDS_A_MESSAGE = 200
"""The kernel takes 253 (SCM_MAX_FD); the rest is sent ahead in MORE messages."""

_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})

_FD_SIZE = array.array("i").itemsize


class LinkEnd(Enum):
    """What `Link.receive` returns once the other side has gone."""

    EOF = "end of file"


EOF: Literal[LinkEnd.EOF] = LinkEnd.EOF


@dataclass(frozen=True)
class Received:
    """One message with its descriptors, which now belong to the receiver."""

    verb: Verb
    payload: Mapping[str, Any]
    fds: tuple[int, ...] = ()


class Link:
    """Messages and descriptors over one socket.

    The master's end never waits: what the kernel does not take stays in an outbox until `flush` (a queue of
    datagrams may be as short as ``net.unix.max_dgram_qlen``, 10). A child's end is *patient*: `send`
    waits, and any thread may call it, since a datagram leaves whole. `receive` never waits and belongs to one
    thread.
    """

    def __init__(self, sock: socket.socket, *, patient: bool = True) -> None:
        self._sock = sock
        self._patient = patient
        self._outbox: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._early_fds: list[int] = []
        sock.setblocking(False)

    @classmethod
    def pair(cls) -> tuple[Link, Link]:
        """Make both ends: the master's, the child's."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours, patient=False), cls(theirs)

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def pending(self) -> bool:
        """Something waits in the outbox: poll for writing, then `flush`."""
        return bool(self._outbox)

    def send(self, verb: Verb, payload: Mapping[str, Any] | None = None, fds: Sequence[int] = ()) -> bool:
        """Send one message; the caller keeps its descriptors. False: the other side has gone.

        Raises: LocalProtocolError: the message cannot be written.
        """
        raw = encode(verb, payload or {})
        parts: list[tuple[bytes, tuple[int, ...]]] = []
        rest = tuple(fds)
        while len(rest) > _FDS_A_MESSAGE:
            parts.append((encode(Verb.MORE, {}), rest[:_FDS_A_MESSAGE]))
            rest = rest[_FDS_A_MESSAGE:]
        parts.append((raw, rest))
        return all(self._send_one(data, carried) for data, carried in parts)

    def flush(self) -> bool:
        """Send what waits in the outbox, as far as the kernel takes it. False: the other side has gone."""
        while self._outbox:
            taken = self._try(*self._outbox[0])
            if taken is None:
                return True
            if not taken:
                self._clear_outbox()
                return False
            self._forget_first()
        return True

    def receive(self) -> Received | Literal[LinkEnd.EOF] | None:
        """Next message; None: nothing there yet.

        Raises: RemoteProtocolError: bytes that are no message; its descriptors are closed, the link goes on.
        """
        while True:
            try:
                raw, ancillary, flags, _ = self._sock.recvmsg(
                    MAX_MESSAGE + 1, socket.CMSG_SPACE(253 * _FD_SIZE), socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return None
            except ConnectionResetError:
                # The other side left messages of ours unread. The error comes once, before what it had said.
                continue
            fds = _descriptors(ancillary)
            if not raw:
                return EOF
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                self._drop(fds)
                raise RemoteProtocolError(f"a message on a link was cut short (flags {flags:#x})")
            try:
                message = decode(raw)
            except RemoteProtocolError:
                self._drop(fds)
                raise
            self._early_fds += fds
            if message.verb is Verb.MORE:
                continue
            carried, self._early_fds = tuple(self._early_fds), []
            return Received(message.verb, message.payload, carried)

    def abandon(self) -> None:
        """In a forked child that is not meant to hold this end: let go, whatever waits."""
        if self._sock.fileno() >= 0:
            os.close(self._sock.detach())

    def close(self) -> None:
        self._clear_outbox()
        self._drop([])
        self._sock.close()

    def _send_one(self, data: bytes, fds: tuple[int, ...]) -> bool:
        if self._outbox:
            self._queue(data, fds)
            return self.flush()
        while (taken := self._try(data, fds)) is None:
            if not self._patient:
                self._queue(data, fds)
                return True
            self._wait_writable()
        return taken

    def _try(self, data: bytes, fds: tuple[int, ...]) -> bool | None:
        """True: sent; False: nobody is there any more; None: the kernel's queue is full."""
        try:
            self._write(data, fds)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in _GONE:
                return False
            raise
        return True

    def _write(self, data: bytes, fds: tuple[int, ...]) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._sock.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)

    def _wait_writable(self) -> None:
        poller = select.poll()
        poller.register(self._sock, select.POLLOUT)
        poller.poll()

    def _queue(self, data: bytes, fds: tuple[int, ...]) -> None:
        # The caller may close its descriptors before they leave: the outbox holds copies.
        self._outbox.append((data, tuple(os.dup(fd) for fd in fds)))

    def _forget_first(self) -> None:
        for fd in self._outbox.popleft()[1]:
            os.close(fd)

    def _clear_outbox(self) -> None:
        while self._outbox:
            self._forget_first()

    def _drop(self, fds: Sequence[int]) -> None:
        for fd in (*self._early_fds, *fds):
            os.close(fd)
        self._early_fds = []


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    found = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(data[: len(data) - len(data) % _FD_SIZE])
    return found.tolist()
