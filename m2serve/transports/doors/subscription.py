"""One thread's claim to what comes by the doors, and by mail where there is a Mongrel2."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from m2serve.transports.base import DOOR, Delivery

if TYPE_CHECKING:
    import uuid

    from m2serve.transports.dispatched import MailSubscription
    from m2serve.transports.doors.channel import DoorChannel
    from m2serve.transports.doors.room import DoorRoom
    from m2serve.transports.mailchannel import MailChannel

_new = tuple.__new__


class DoorSubscription:
    """Serves doors and mail in turn, so that neither keeps the other waiting.

    Threads: as :class:`~m2serve.transports.base.Subscription`.
    """

    def __init__(self, room: DoorRoom, mail: MailSubscription | None, identity: uuid.UUID) -> None:
        self.uuid = str(identity)
        self._room = room
        self._mail = mail
        self._pillow = threading.Lock()
        self._pillow.acquire()
        self._thread = 0
        self._came_by_door = False
        self._channel: DoorChannel | None = None
        self._began = 0.0

    @property
    def channel(self) -> DoorChannel | MailChannel | None:
        """Of the request that runs."""
        return self._channel or (None if self._mail is None else self._mail.channel)

    def receive(self) -> Delivery | None:
        """Take the next request, or lead or sleep until there is one."""
        room, mail = self._room, self._mail
        if not self._thread:
            self._thread = threading.get_native_id()
        while True:
            if mail is not None and self._came_by_door:
                self._came_by_door = False
                if (delivery := mail.take()) is not None:
                    return delivery
            conn = room.take()
            if conn is not None:
                self._came_by_door = True
                self._began = time.monotonic()
                self._channel = channel = conn.channel
                return _new(Delivery, (b"", channel, -1, DOOR))
            if mail is None:
                if room.over:
                    return None
                room.wait(self._pillow, self._thread)
                continue
            stopping = mail.room.stopping
            if (delivery := mail.take()) is not None:
                return delivery
            if stopping:  # no mail will come any more, while connections may still bring something
                if room.over:
                    return None
                room.wait(self._pillow, self._thread)
            elif mail.room.doze():
                try:
                    room.wait(self._pillow, self._thread)
                finally:
                    mail.room.rise()

    def done(self) -> None:
        """The request is over."""
        channel, self._channel = self._channel, None
        if channel is not None:
            self._room.took(time.monotonic() - self._began)
            channel.leave()
        elif self._mail is not None:
            self._mail.done()

    def client_gone(self, conn: bytes, endpoint: int) -> None:
        """Connections of doors tell by themselves."""

    def stop(self) -> None:
        """See :meth:`DoorRoom.stop`."""
