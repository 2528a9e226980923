"""Requests that have run for too long: their clients are answered, and their threads given up."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Final

from m2serve.system import stacks
from m2serve.transports import sheet as sheets
from m2serve.transports.channel import Verdict
from m2serve.wire.link import Verb
from m2serve.wire.mongrel2 import error_answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType
    from typing import Any

    from m2serve.system.link import Link
    from m2serve.transports.base import Source
    from m2serve.transports.sheet import Sheet
    from m2serve.worker.cycle import Cycle

log = logging.getLogger("m2serve.worker")

_OURS: Final = ("m2serve/gateways/wsgi.py", "handle")
"""Where applications are called: what lies below interests nobody."""


class Harakiri:
    """The part of the service thread that deals with threads that are stuck.

    It never waits, for the master waits for its word: what may have to wait for Mongrel2 is done by a thread of its
    own, one for each request.

    Args:
        threads: the request threads, by core.
        patience: seconds that a thread may go on, once the others have finished.
        number: signal whose handler, if the application has one, is then called.
        every: with the stacks of all threads.
    """

    def __init__(
        self,
        link: Link,
        cycle: Cycle,
        sheet: Sheet,
        subscriptions: Sequence[Source],
        threads: Sequence[threading.Thread],
        *,
        patience: float,
        number: int,
        every: bool,
    ) -> None:
        self._link = link
        self._cycle = cycle
        self._sheet = sheet
        self._subscriptions = subscriptions
        self._threads = threads
        self._patience = patience
        self._number = number
        self._every = every
        self._replies: list[threading.Thread] = []
        self._given_up: dict[int, float] = {}
        """Until when each thread that is stuck may go on, by core."""

    def accuse(self, payload: Mapping[str, Any]) -> int | None:
        """The master says that a request is over its deadline.

        Returns: the core of the thread that is given up; None: it has finished, or is given up already.
        """
        core, number = int(payload["core"]), int(payload["number"])
        channel, verdict = None, None
        if core not in self._given_up and self._runs(core, number):
            channel = self._subscriptions[core].channel
            # it may have finished since, and the channel be that of its next request
            if channel is not None and self._runs(core, number):
                verdict = channel.seize()
        if channel is None or verdict is None:
            self._link.send(Verb.ALIVE, {})
            return None
        self._given_up[core] = time.monotonic() + self._patience
        stack = self._stack(core)
        others = self._others(core) if self._every else ""
        self._link.send(
            Verb.STUCK, {"core": core, "number": number, "verdict": verdict.value, "stack": stack, "others": others}
        )
        request_id, method = str(payload["id"]), str(payload["method"])
        message = error_answer(504, "", request_id, head_only=method == "HEAD")
        if verdict is Verdict.UNANSWERED:
            self._cycle.answered(core, number, 504, message)
        reply = threading.Thread(target=channel.reply, args=(verdict, message), name=f"harakiri-{core}", daemon=True)
        self._replies.append(reply)
        reply.start()
        return core

    def warn(self) -> None:
        """Call the application's handler of the signal, if there is time for it and it has one."""
        if not self._patience or not callable(signal.getsignal(self._number)):
            return
        try:
            signal.raise_signal(self._number)
        except BaseException:
            # whatever it is: it is raised here, in the service thread, which other requests need
            log.exception("the handler of signal %d failed at harakiri", self._number)

    def holds(self, core: int) -> bool:
        """Whether to wait no longer for a thread, which is stuck."""
        until = self._given_up.get(core)
        return until is not None and time.monotonic() >= until

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return any(reply.is_alive() for reply in self._replies)

    def _runs(self, core: int, number: int) -> bool:
        cell = self._sheet.cells[core]
        return bool(cell[sheets.STARTED]) and cell[sheets.NUMBER] == number

    def _stack(self, core: int) -> str:
        frame = sys._current_frames().get(self._threads[core].ident or 0)
        return "" if frame is None else _text(frame)

    def _others(self, core: int) -> str:
        frames = sys._current_frames()
        named = {thread.ident: thread.name for thread in threading.enumerate()}
        skipped = (self._threads[core].ident, threading.get_ident())
        told = [(named.get(i, i), _text(frame)) for i, frame in frames.items() if i not in skipped]
        return "\n".join(f"{name}:\n{stack}" for name, stack in told if not stacks.is_idle(stack))


def _text(frame: FrameType) -> str:
    """The stack as in a traceback, from the application on."""
    stack = traceback.extract_stack(frame)
    file, function = _OURS
    last = max((i for i, one in enumerate(stack) if one.name == function and one.filename.endswith(file)), default=-1)
    return "".join(traceback.format_list(stack[last + 1 :] or stack)).rstrip("\n")
