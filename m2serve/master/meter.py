"""Measures workers once a second, where something depends on it."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment
from m2serve.master.child import AT_ZERO, ChildState
from m2serve.master.limits import MIB, Limits
from m2serve.transports import sheet as sheets

if TYPE_CHECKING:
    from m2serve.config.settings import Settings
    from m2serve.master.board import Board
    from m2serve.master.child import Child
    from m2serve.master.scores import Scores

log = logging.getLogger("m2serve.master")

PERIOD = Seconds(1.0)

_PAGE = os.sysconf("SC_PAGE_SIZE")


def limits(settings: Settings) -> Limits:
    """What the options say."""
    return Limits(
        settings.max_requests,
        settings.max_requests_delta,
        settings.max_worker_lifetime,
        settings.max_worker_lifetime_delta,
        settings.min_worker_lifetime,
        settings.reload_on_rss * MIB,
        settings.reload_on_as * MIB,
        settings.reload_on_uss * MIB,
        settings.reload_on_pss * MIB,
        settings.evil_reload_on_rss * MIB,
        settings.evil_reload_on_as * MIB,
    )


@dataclass
class Meter(Attachment):
    """Looks from outside: workers have nothing to do for it."""

    board: Board
    scores: Scores
    _next: Seconds = AT_ZERO
    _complained: bool = False

    def turn(self, now: Seconds) -> bool:
        if not self._measures or now < self._next:
            return False
        self._next = Seconds(now + PERIOD)
        for child in self.board.workers:
            if child.state in (ChildState.READY, ChildState.DRAINING):
                self._measure(child)
        return True

    def due(self, now: Seconds) -> Seconds | None:
        return self._next if self._measures else None

    @property
    def _measures(self) -> bool:
        return bool(self.board.limits) or self.board.crowd.measured

    def _measure(self, child: Child) -> None:
        if child.key in self.scores.lives:
            _, sheet = self.scores.lives[child.key]
            child.requests = sheet.total(sheets.REQUESTS)
        try:
            with open(f"/proc/{child.pid}/statm", "rb") as stream:
                size, resident, *_ = stream.read().split()
        except (OSError, ValueError):
            return  # it has just died
        child.address_space, child.rss = int(size) * _PAGE, int(resident) * _PAGE
        if self.board.limits.of_shares:
            self._measure_shares(child)

    def _measure_shares(self, child: Child) -> None:
        try:
            child.uss, child.pss = shares(child.pid)
        except PermissionError:
            if not self._complained:
                self._complained = True
                log.warning("reload-on-uss and reload-on-pss change nothing: the kernel does not tell us")
        except OSError:
            pass  # it has just died


def shares(pid: int) -> tuple[int, int]:
    """Bytes that only this process has mapped, and the same with its share of what others have, too.

    Raises: OSError.
    """
    own = shared = 0
    with open(f"/proc/{pid}/smaps_rollup", "rb") as stream:
        for line in stream:
            name, _, value = line.partition(b":")
            if name.startswith(b"Private_"):
                own += int(value.split()[0]) * 1024
            elif name == b"Pss":
                shared = int(value.split()[0]) * 1024
    return own, shared
