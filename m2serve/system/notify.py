"""The service manager's socket: sd_notify(3) without its library."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING

from m2serve.ids import Seconds

if TYPE_CHECKING:
    from collections.abc import MutableMapping

log = logging.getLogger("m2serve.system")

_NAMES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Tells whoever started us how it goes; without an address it says nothing.

    Args:
        address: a path, or a name in the abstract name space with ``@`` in front.
        watchdog: how often at least a sign of life is expected.
    """

    def __init__(self, address: str | None = None, watchdog: Seconds | None = None) -> None:
        self.watchdog = watchdog
        self._address = address
        self._failed = False
        self._held: socket.socket | None = None

    @classmethod
    def take(cls, environment: MutableMapping[str, str], pid: int) -> Notifier:
        """What the variables say; they are removed, so that no child speaks in our name."""
        address, usec, for_pid = (environment.pop(name, "") for name in _NAMES)
        if address[:1] not in ("/", "@"):
            if address:
                log.warning("NOTIFY_SOCKET=%s: expected a path or @name; nobody is told anything", address)
            return cls()
        watched = usec.isdigit() and int(usec) > 0 and for_pid in ("", str(pid))
        return cls(address, Seconds(int(usec) / 1e6) if watched else None)

    def __bool__(self) -> bool:
        return self._address is not None

    def hold(self) -> None:
        """Before the root directory changes: from then on the address leads nowhere."""
        if self._address is None:
            return
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            held.connect(self._name)
            self._held = held
        except OSError as error:
            held.close()
            log.warning("the service manager at %s cannot be told anything: %s", self._address, error)

    def close(self) -> None:
        """Let go of what is held."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def say(self, *words: str) -> None:
        """Send assignments, ``READY=1``, in one datagram. Never waits; a failure is logged once."""
        if self._address is None:
            return
        data = "\n".join(words).encode("utf-8", "replace")
        try:
            if self._held is not None:
                self._held.send(data)
            else:
                kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
                with contextlib.closing(socket.socket(socket.AF_UNIX, kind)) as sender:
                    sender.sendto(data, self._name)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("the service manager at %s was not told %s: %s", self._address, words[0], error)
            self._failed = True

    @property
    def _name(self) -> bytes:
        assert self._address is not None
        return os.fsencode("\0" + self._address[1:] if self._address.startswith("@") else self._address)
