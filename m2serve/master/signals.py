"""Signals as a queue: the handler does nothing, the wake-up descriptor feeds the master's loop."""

from __future__ import annotations

import os
import signal
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from m2serve.system.fds import pipe_nonblocking

if TYPE_CHECKING:
    from types import FrameType


class Event(Enum):
    """What a signal means to the master."""

    TERM = "stop gracefully"
    INT = "stop with little mercy"
    QUIT = "stop with little mercy, as INT"
    HUP = "reload"
    CHLD = "a child has changed"
    USR1 = "log the table of children"
    TTIN = "one worker more"
    TTOU = "one worker less"
    TSTP = "hand out no requests, or go on"
    USR2 = "upgrade"
    OTHER = "noted"


@dataclass(frozen=True)
class Caught:
    """One signal taken from the queue."""

    event: Event
    name: str


_UNTOUCHED = frozenset(
    {
        signal.SIGKILL,
        signal.SIGSTOP,
        # Faults of the program itself: a core dump at the right place is worth more than going on.
        *(
            signal.SIGSEGV,
            signal.SIGBUS,
            signal.SIGFPE,
            signal.SIGILL,
            signal.SIGABRT,
            signal.SIGTRAP,
            signal.SIGSYS,
        ),
        # The interpreter ignores these already, or nobody has to act: SIGCONT's work is done by the kernel.
        *(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGXCPU, signal.SIGCONT),
    }
)

HANDLED = frozenset(int(one) for one in signal.valid_signals()) - {int(one) for one in _UNTOUCHED}

_CHILD_IGNORES = frozenset(
    {
        *(signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2),
        *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
    }
)
"""What a terminal or a service manager sends to the whole group; the master decides for all."""


class SignalQueue:
    """The master's signals, one at a time."""

    def __init__(self) -> None:
        self._reader, self._writer = pipe_nonblocking()
        os.set_blocking(self._writer, False)
        self._queue: deque[int] = deque()

    def install(self) -> None:
        """From now on no catchable signal kills this process."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in sorted(HANDLED):
            signal.signal(number, nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def uninstall(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        return self._reader

    @property
    def pending(self) -> bool:
        self._fill()
        return bool(self._queue)

    def take(self) -> Caught | None:
        """The oldest signal not yet treated."""
        self._fill()
        if not self._queue:
            return None
        return describe(self._queue.popleft())

    def _fill(self) -> None:
        try:
            while data := os.read(self._reader, 4096):
                self._queue.extend(data)
        except BlockingIOError:
            return


def describe(number: int) -> Caught:
    """Name a signal and say what it means."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    short = name.removeprefix("SIG")
    return Caught(Event[short] if short in Event.__members__ else Event.OTHER, name)


def reset_for_child() -> None:
    """Undo the master's handlers in a forked child, before any code of the user's. Signals are still blocked.

    What the child must survive gets a handler that does nothing rather than SIG_IGN: a program started by the
    application would inherit SIG_IGN and could not be terminated.
    """
    signal.set_wakeup_fd(-1)
    for number in sorted(HANDLED):
        signal.signal(number, nothing if number in _CHILD_IGNORES else signal.SIG_DFL)


def reset_for_exec() -> None:
    """All defaults, for a program that is no Python; the interpreter itself ignores SIGPIPE and SIGXFSZ."""
    signal.set_wakeup_fd(-1)
    for number in sorted(HANDLED | {signal.SIGPIPE, signal.SIGXFSZ}):
        signal.signal(number, signal.SIG_DFL)


def unblock_all() -> None:
    """End the blocking that fork needed."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def nothing(number: int, frame: FrameType | None) -> None:
    """The handler of everything."""
