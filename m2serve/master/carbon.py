"""Numbers for Graphite: a connection of its own for each push, and nobody who is waited for."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment
from m2serve.observe.carbon import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from m2serve.config.settings import Settings
    from m2serve.endpoint import ListenAddress
    from m2serve.observe.snapshot import Snapshot

log = logging.getLogger("m2serve.carbon")


@dataclass(eq=False)
class _Receiver:
    """One server of Graphite's."""

    name: ListenAddress
    family: int
    address: tuple[Any, ...]
    data: bytes = b""
    rest: memoryview = field(default_factory=lambda: memoryview(b""))
    """Of the data what has not been sent over this connection."""
    sock: socket.socket | None = None
    due: Seconds | None = None
    """When to give up what runs, or to try again."""
    tries: int = 0
    """Attempts that are left."""
    failing: bool = False

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock = self.due = None


@dataclass(eq=False)
class Carbon(Attachment):
    """Args: snapshot: is there as soon as the loop runs."""

    settings: Settings
    snapshot: Callable[[Seconds], Snapshot] | None = None
    _receivers: list[_Receiver] = field(default_factory=list)
    _report: Report = field(init=False)
    _next: Seconds | None = None

    def __post_init__(self) -> None:
        settings, host = self.settings, socket.gethostname()
        if settings.carbon_hostname_dots is not None:
            host = host.replace(".", settings.carbon_hostname_dots)
        self._report = Report(
            settings.carbon_root,
            host,
            settings.carbon_id or "",
            singly=not settings.carbon_no_workers,
            cheaper=bool(settings.cheaper),
            idle=settings.carbon_idle_avg,
        )

    def resolve(self) -> None:
        """Look up the servers. Once: a name server that does not answer would hold up the master later."""
        for name in self.settings.carbon:
            try:
                family, _, _, _, address = socket.getaddrinfo(name.host, name.port, type=socket.SOCK_STREAM)[0]
            except (OSError, UnicodeError) as error:
                # No reason to serve nobody.
                log.error("nothing is sent to %s: %s", name, getattr(error, "strerror", None) or error)
            else:
                self._receivers.append(_Receiver(name, family, address))

    def abandon(self) -> None:
        for one in self._receivers:
            if one.sock is not None:
                one.sock.detach()
                one.sock = None

    def close(self) -> None:
        for one in self._receivers:
            one.close()

    # --- the loop's -------------------------------------------------------------------

    def polled(self) -> Mapping[int, int]:
        return {one.sock.fileno(): select.POLLOUT for one in self._receivers if one.sock is not None}

    def ready(self, fd: int, now: Seconds) -> None:
        for one in self._receivers:
            if one.sock is not None and one.sock.fileno() == fd:
                self._send(one, one.sock, now)

    def turn(self, now: Seconds) -> bool:
        if not self._receivers:
            return False
        if self._next is None:
            self._report.begin(now)
            self._next = Seconds(now + self.settings.carbon_freq)
        if self._next <= now:
            self._push(now)
        for one in self._receivers:
            if one.due is not None and one.due <= now:
                if one.sock is not None:
                    self._failed(one, f"nothing more could be sent within {self.settings.carbon_timeout:g} s", now)
                else:
                    self._connect(one, now)
        return False

    def due(self, now: Seconds) -> Seconds | None:
        dues = [self._next, *(one.due for one in self._receivers)]
        return min((due for due in dues if due is not None), default=None)

    # --- inside -----------------------------------------------------------------------

    def _push(self, now: Seconds) -> None:
        assert self._next is not None and self.snapshot is not None
        period = self.settings.carbon_freq
        # Always the same moments, and none of those that a stopped machine has missed.
        self._next = Seconds(self._next + ((now - self._next) // period + 1) * period)
        data = self._report.text(self.snapshot(now), now)
        for one in self._receivers:
            if one.sock is not None:
                self._failed(one, "the last push was not over when the next one began", now)
            one.data, one.tries = data, self.settings.carbon_max_retry
            self._connect(one, now)

    def _connect(self, one: _Receiver, now: Seconds) -> None:
        one.rest = memoryview(one.data)
        one.due = Seconds(now + self.settings.carbon_timeout)
        try:
            one.sock = socket.socket(one.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            code = one.sock.connect_ex(one.address)
        except OSError as error:
            self._failed(one, error.strerror or str(error), now)
            return
        if code not in (0, errno.EINPROGRESS):
            self._failed(one, os.strerror(code), now)

    def _send(self, one: _Receiver, sock: socket.socket, now: Seconds) -> None:
        try:
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            one.rest = one.rest[sock.send(one.rest) :]
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(one, error.strerror or str(error), now)
            return
        if one.rest:
            return
        one.close()
        if one.failing:
            one.failing = False
            log.info("%s is reached again", one.name)

    def _failed(self, one: _Receiver, why: str, now: Seconds) -> None:
        one.close()
        # Once, and not with each push: a server may be away for days.
        level = logging.DEBUG if one.failing else logging.WARNING
        log.log(level, "%s: %s", one.name, why)
        one.failing = True
        if one.tries > 0:
            one.tries -= 1
            one.due = Seconds(now + self.settings.carbon_retry_delay)
