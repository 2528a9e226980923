"""A handler as others write it, with pyzmq: to see what Mongrel2 does to one that behaves badly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq

if TYPE_CHECKING:
    from support.mongrel2 import Mongrel2


class Handler:
    """Takes requests and answers them, as the test says."""

    def __init__(self, mongrel2: Mongrel2) -> None:
        self._context = zmq.Context()
        self._pull = self._context.socket(zmq.PULL)
        self._pull.connect(mongrel2.send_spec)
        self._answers = self._context.socket(zmq.XPUB)
        self._answers.connect(mongrel2.recv_spec)
        self._recv_spec = mongrel2.recv_spec

    def __enter__(self) -> Handler:
        return self

    def __exit__(self, *_: object) -> None:
        self._pull.close(linger=0)
        self._answers.close(linger=0)
        self._context.term()

    def wait_subscribed(self, timeout: float = 30.0) -> None:
        """Wait until Mongrel2 takes our answers."""
        assert self._answers.poll(int(timeout * 1000)), "Mongrel2 does not subscribe"
        assert self._answers.recv()[:1] == b"\1"

    def take(self, timeout: float = 30.0) -> tuple[bytes, bytes]:
        """Sender and connection id of the next message."""
        assert self._pull.poll(int(timeout * 1000)), "no request"
        sender, conn, _ = self._pull.recv().split(b" ", 2)
        return sender, conn

    def stop_taking(self) -> None:
        """Leave Mongrel2's PUSH; its requests and notices have nowhere to go from now on."""
        self._pull.close(linger=0)

    def answer(self, sender: bytes, conn: bytes, body: bytes) -> None:
        self._answers.send(b"%b %d:%b, %b" % (sender, len(conn), conn, body))

    def newcomer_is_subscribed(self, timeout: float) -> bool:
        """Whether Mongrel2 sends its subscription to somebody new."""
        newcomer = self._context.socket(zmq.XPUB)
        newcomer.connect(self._recv_spec)
        try:
            return bool(newcomer.poll(int(timeout * 1000)))
        finally:
            newcomer.close(linger=0)
