"""Programs: what they print, whether they answer, and files whose change starts them anew."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.attachment import Attachment
from m2serve.master.child import AT_ZERO, ChildKind
from m2serve.master.touch import PERIOD, identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.master.board import Board
    from m2serve.master.child import Child
    from m2serve.master.programs import Program
    from m2serve.master.smart import Watch
    from m2serve.master.touch import Identity

log = logging.getLogger("m2serve.master")

PROBE_SECONDS = 0.05
"""Between two attempts to connect to a daemon that starts, and the most that one may take."""

_LONGEST_LINE = 64 * 1024


class DaemonOutput:
    """Turns the output of programs into lines of our log."""

    def __init__(self) -> None:
        self._rest: dict[int, bytes] = {}

    def read(self, child: Child) -> None:
        """Log the whole lines that have come; at end of file, the rest too."""
        if child.output is None:
            return
        data = self._rest.pop(child.key, b"")
        at_end = False
        try:
            while chunk := os.read(child.output, 65536):
                data += chunk
            at_end = True
        except BlockingIOError:
            pass
        *lines, rest = data.split(b"\n")
        if at_end or len(rest) > _LONGEST_LINE:
            lines.append(rest)
            rest = b""
        if at_end:
            os.close(child.output)
            child.output = None
        elif rest:
            self._rest[child.key] = rest
        for line in lines:
            if line.strip():
                self._write(child, line.decode("utf-8", "replace").rstrip())

    def rest(self, child: Child) -> str:
        """The beginning of a line that has come, as Latin-1."""
        return self._rest.get(child.key, b"").decode("latin-1")

    def begin(self, child: Child, rest: str) -> None:
        """What another master had of the line that comes next."""
        self._rest[child.key] = rest.encode("latin-1")

    def close(self, child: Child) -> None:
        """After its death: somebody it started may still hold the other end."""
        self.read(child)
        self._rest.pop(child.key, None)
        if child.output is not None:
            os.close(child.output)
            child.output = None

    def _write(self, child: Child, line: str) -> None:
        assert child.program is not None
        level, text = child.program.level(line)
        if child.leaving and child.program.address is not None:
            # Told to leave, Mongrel2 reports each socket it closes as an error.
            level = logging.DEBUG
        logging.getLogger(f"m2serve.{child.name}").log(level, "%s", text)


def answers(address: tuple[str, int]) -> bool:
    """Somebody accepts connections there."""
    try:
        socket.create_connection(address, timeout=PROBE_SECONDS).close()
    except OSError:
        return False
    return True


@dataclass(eq=False)
class _Touched:
    path: str
    renew: Callable[[str], None]
    """Called with the reason."""
    seen: Identity | None = None


@dataclass(eq=False)
class DaemonTouch(Attachment):
    """Looks once a second at the files that daemons are to be started anew for."""

    files: Sequence[_Touched]
    look: Callable[[str], Identity | None] = identity
    _next: Seconds = AT_ZERO

    @classmethod
    def of(
        cls, board: Board, programs: Sequence[Program], watches: Sequence[Watch], mules: Sequence[str] = ()
    ) -> DaemonTouch:
        """Args: mules: files for which all of them are started anew."""
        files = [
            _Touched(program.touch, partial(_renew_slot, board, index))
            for index, program in enumerate(programs)
            if program.touch
        ]
        smart = [watch for watch in watches if watch.smart.program.touch]
        files += [_Touched(watch.smart.program.touch, partial(_stop, watch)) for watch in smart]
        scripts = [number for number, program in enumerate(programs) if program.number]
        places = [os.path.abspath(path) for path in mules]
        files += [_Touched(path, partial(_renew_slot, board, number)) for path in places for number in scripts]
        for file in files:
            file.seen = identity(file.path)
        return cls(files)

    def turn(self, now: Seconds) -> bool:
        if not self.files or now < self._next:
            return False
        self._next = Seconds(now + PERIOD)
        acted = False
        for file in self.files:
            before, file.seen = file.seen, self.look(file.path)
            if file.seen is not None and file.seen != before:
                file.renew(f"touch {file.path}")
                acted = True
        return acted

    def due(self, now: Seconds) -> Seconds | None:
        return self._next if self.files else None


def _renew_slot(board: Board, index: int, reason: str) -> None:
    for slot in board.slots:
        if slot.kind is ChildKind.DAEMON and slot.daemon == index:
            slot.renew = reason


def _stop(watch: Watch, reason: str) -> None:
    """Of a smart daemon; it is started again when it is seen to have gone."""
    if watch.pid:
        log.info("%s (pid: %d) is stopped: %s", watch.smart.program.name, watch.pid, reason)
        with contextlib.suppress(OSError):
            os.kill(watch.pid, watch.smart.program.stop_signal)
