"""What the master says about itself: at its start, and when asked by USR1."""

from __future__ import annotations

import logging
import os
import platform
from typing import TYPE_CHECKING

import m2serve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from m2serve.config.settings import Settings
    from m2serve.front import Front
    from m2serve.ids import Seconds
    from m2serve.master.board import Board

log = logging.getLogger("m2serve.master")


def start_lines(settings: Settings, fronts: Sequence[Front]) -> Iterable[str]:
    """Who runs, where, and what it is about to do."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.release()}"
    yield f"m2serve {m2serve.__version__} (pid: {os.getpid()}) on {python}, {system}"
    workers = f"{settings.processes} process{'es' if settings.processes > 1 else ''}"
    threads = f"{settings.threads} thread{'s' if settings.threads > 1 else ''}"
    topology = "direct" if settings.zeromq_direct else "dispatched" if fronts else "no Mongrel2"
    yield f"{workers} x {threads}, {topology}, need-app {'on' if settings.need_app else 'off'}"
    for number, front in enumerate(fronts):
        yield f"mongrel2 {number}: requests from {front.pair.send}, answers to {front.pair.recv}"
        yield f"mongrel2 {number}: {', '.join(_known(front))}"


def _known(front: Front) -> Iterable[str]:
    """What decides how large bodies come and go, so that an operator can compare."""
    uploads = front.temp_store or "by files of an unknown name"
    yield f"bodies over {front.content_length} bytes {'in pieces' if front.stream else uploads}"
    if front.chroot != "/":
        yield f"chroot {front.chroot}"
    yield f"flow control {'on' if front.flow_control else 'off'}"


def table_lines(board: Board, now: Seconds) -> Iterable[str]:
    """A line a child, with its threads' UUIDs."""
    yield f"{len(board.children)} children, {len(board.generations)} generations:"
    for child in board.children:
        generation = f" generation {child.generation}" if child.generation else ""
        broken = " (application not loaded)" if child.failed else ""
        threads = f" threads: {' '.join(child.threads)}" if child.threads else ""
        age = now - child.started
        state = f"{child.state.value}{broken}"
        yield f"  {child.name} (pid: {child.pid}){generation} {state} age {age:.1f} s{threads}"
    for slot in board.slots:
        if slot.child is None:
            yield f"  {slot.name}: nobody, next spawn in {max(slot.due - now, 0.0):.1f} s"


def log_lines(lines: Iterable[str]) -> None:
    """Into the master's log."""
    for line in lines:
        log.info("%s", line)
