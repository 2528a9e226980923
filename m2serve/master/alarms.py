"""Tells whom the settings want to be told, when a line of the log asks for it.

Every process sends such lines here, a datagram each, to a name in the abstract name space. The kernel says whose
process it was: others cannot raise alarms.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from m2serve.ids import Seconds
from m2serve.master.alarmfds import AlarmFds
from m2serve.master.attachment import Attachment
from m2serve.master.child import AT_ZERO
from m2serve.master.programs import of_shell
from m2serve.observe.alarms import OF_ALARMS
from m2serve.observe.sinks import alarm_address

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from m2serve.config.alarms import Alarm
    from m2serve.config.settings import Settings
    from m2serve.master.programs import Program

log = logging.getLogger(f"m2serve.{OF_ALARMS}")

_LARGEST: Final = 64 * 1024
_AT_ONCE: Final = 64
"""Datagrams a turn: who writes a storm of lines must not keep the master from its work."""
_UCRED: Final = struct.Struct("3i")


@dataclass(eq=False)
class _Bell:
    """One alarm, and what has come for it."""

    alarm: Alarm
    text: bytes = b""
    waiting: int = 0
    again: Seconds = AT_ZERO
    """When it may be raised the next time."""


@dataclass(eq=False)
class Alarms(Attachment):
    """Args:
    raise_: runs a command, with a text as its standard input.
    users: numbers of those whose processes are believed.
    """

    settings: Settings
    raise_: Callable[[Program, Seconds], object]
    users: Collection[int]
    _bells: dict[str, _Bell] = field(init=False)
    _fds: AlarmFds = field(init=False)
    _sock: socket.socket | None = None

    def __post_init__(self) -> None:
        self._bells = {one.name: _Bell(one) for one in self.settings.alarm if one.done_here}
        self._fds = AlarmFds(self.settings.alarm_fd, self.heard)

    def open(self) -> None:
        """Listen, if there is any alarm."""
        if not self._bells:
            return
        self._fds.open()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            sock.bind(alarm_address(os.getpid()))
        except OSError as error:
            sock.close()
            log.error("no alarm will be raised: %s", error.strerror)
            return
        self._sock = sock

    def close(self) -> None:
        self._fds.close()
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def abandon(self) -> None:
        """In a forked child: the number is somebody else's."""
        if self._sock is not None:
            self._sock.detach()
            self._sock = None

    def polled(self) -> Mapping[int, int]:
        own = {} if self._sock is None else {self._sock.fileno(): select.POLLIN}
        return {**own, **self._fds.polled()}

    def ready(self, fd: int, now: Seconds) -> None:
        if self._sock is None or fd != self._sock.fileno():
            self._fds.ready(fd, now)
            return
        for _ in range(_AT_ONCE):
            try:
                data, control, _, _ = self._sock.recvmsg(_LARGEST, socket.CMSG_SPACE(_UCRED.size))
            except OSError:
                return
            if _sender(control) in self.users:
                name, _, text = data.partition(b"\0")
                self.heard(name.decode("utf-8", "replace"), text)

    def heard(self, name: str, text: bytes) -> None:
        """Somebody asks for an alarm."""
        bell = self._bells.get(name)
        if bell is not None:
            bell.text, bell.waiting = text, bell.waiting + 1

    def turn(self, now: Seconds) -> bool:
        self._fds.turn(now)
        for bell in self._bells.values():
            if bell.waiting and now >= bell.again:
                bell.again = Seconds(now + self.settings.alarm_freq)
                text, more = bell.text, bell.waiting - 1
                bell.text, bell.waiting = b"", 0
                self._tell(bell.alarm, text, more, now)
        return False

    def due(self, now: Seconds) -> Seconds | None:
        dues = [bell.again for bell in self._bells.values() if bell.waiting]
        return min((due for due in (*dues, self._fds.due()) if due is not None), default=None)

    def _tell(self, alarm: Alarm, text: bytes, more: int, now: Seconds) -> None:
        text = text.rstrip(b"\n") + b"\n"
        if more:
            text += b"and %d before it\n" % more
        if alarm.driver == "log":
            said = text.decode("utf-8", "replace").rstrip("\n")
            log.warning("%s: %s%s", alarm.name, f"{alarm.argument} " if alarm.argument else "", said)
        else:
            self.raise_(of_shell(self.settings, f"{OF_ALARMS} {alarm.name}", alarm.argument, text), now)


def _sender(control: list[tuple[int, int, bytes]]) -> int | None:
    """The number of the user whose process it was."""
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and len(data) >= _UCRED.size:
            uid: int = _UCRED.unpack_from(data)[1]
            return uid
    return None
