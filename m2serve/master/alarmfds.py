"""Descriptors that whoever started us has left open, and that raise an alarm when there is something to read."""

from __future__ import annotations

import logging
import os
import select
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from m2serve.ids import Seconds
from m2serve.observe.alarms import OF_ALARMS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from m2serve.config.alarms import AlarmFd

log = logging.getLogger(f"m2serve.{OF_ALARMS}")

_AT_ONCE: Final = 64
"""Events of one descriptor a turn."""
_REST: Final = 0.1
"""Seconds that one is left alone that had more: nobody who writes all the time may keep the master from its work."""


@dataclass(eq=False)
class AlarmFds:
    """A part of :class:`~m2serve.master.alarms.Alarms`, which asks it what an attachment is asked.

    Nothing is ever closed: a number that is free would be that of something else.

    Args: heard: raises an alarm of that name.
    """

    specs: Sequence[AlarmFd]
    heard: Callable[[str, bytes], None]
    _open: dict[int, AlarmFd] = field(default_factory=dict)
    _resting: dict[int, Seconds] = field(default_factory=dict)

    def open(self) -> None:
        """See which of them are there."""
        for spec in self.specs:
            try:
                # What we have opened ourselves is close-on-exec.
                if not os.get_inheritable(spec.fd):
                    raise OSError(0, "nobody has left it to us")
                os.set_blocking(spec.fd, False)
            except OSError as error:
                log.error("descriptor %d raises no alarm: %s", spec.fd, error.strerror)
            else:
                self._open[spec.fd] = spec

    def polled(self) -> Mapping[int, int]:
        return {fd: select.POLLIN for fd in self._open if fd not in self._resting}

    def ready(self, fd: int, now: Seconds) -> None:
        spec = self._open[fd]
        for _ in range(_AT_ONCE):
            try:
                data = os.read(fd, spec.size)
            except BlockingIOError:
                return
            except OSError as error:
                self._leave(fd, error.strerror or str(error))
                return
            if not data:
                self._leave(fd, "it has ended")
                return
            self.heard(spec.name, spec.text.encode("utf-8", "surrogateescape"))
        self._resting[fd] = Seconds(now + _REST)

    def turn(self, now: Seconds) -> None:
        for fd in [fd for fd, until in self._resting.items() if until <= now]:
            del self._resting[fd]

    def due(self) -> Seconds | None:
        return min(self._resting.values(), default=None)

    def close(self) -> None:
        self._open.clear()
        self._resting.clear()

    def _leave(self, fd: int, why: str) -> None:
        log.warning("descriptor %d raises no alarm any more: %s", fd, why)
        del self._open[fd]
