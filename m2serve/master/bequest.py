"""Programs after an upgrade: those that the options still name go on, new ones start, the others are told to leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.actions import Stop
from m2serve.master.board import Slot
from m2serve.master.child import Child, ChildKind, ChildState
from m2serve.master.programs import Program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.master.board import Board
    from m2serve.master.heritage import ChildRow, Heritage


def slot_of(program: Program, index: int) -> Slot:
    """A place for an attached program."""
    gate = program.address is not None
    return Slot(ChildKind.DAEMON, program.name, daemon=index, gate=gate, control=program.control)


def restore_programs(board: Board, left: Heritage, programs: Sequence[Program], now: Seconds) -> list[Stop]:
    """Put what runs into the slots and jobs of these options; returns what is to be done about the rest.

    Args: board: restored, its slots still in the order of *left*, its jobs those of the options.
    """
    rows = {row.key: row for row in left.children}
    for child in board.children:
        if child.is_program:
            child.program = _stand_in(rows[child.key])
    free = list(enumerate(programs))
    for slot, row in zip(list(board.slots), left.slots, strict=True):
        if slot.kind is not ChildKind.DAEMON:
            continue
        found = next(((index, one) for index, one in free if one.command == row.command), None)
        if found is None:
            board.slots.remove(slot)
        else:
            free.remove(found)
            _fit(slot, *found)
    board.slots += [slot_of(program, index) for index, program in free]
    _restore_jobs(board, left)
    held = [slot.child for slot in board.slots]
    unwanted = [child for child in board.children if child.kind is ChildKind.DAEMON and child not in held]
    return [
        Stop(child, "the options do not name it any more", Seconds(now + board.patience))
        for child in unwanted
        if child.state in (ChildState.STARTING, ChildState.READY)
    ]


def _fit(slot: Slot, index: int, program: Program) -> None:
    new = slot_of(program, index)
    slot.name, slot.daemon, slot.gate, slot.control = new.name, index, new.gate, new.control
    if slot.child is not None:
        slot.child.name, slot.child.program = program.name, program


def _restore_jobs(board: Board, left: Heritage) -> None:
    known = {row.command: row for row in left.jobs}
    for job in board.jobs:
        row = known.get(job.program.command)
        if row is not None:
            job.runs, job.started, job.last_code, job.last_seconds = (
                *(row.runs, row.started),
                *(row.last_code, row.last_seconds),
            )
        job.running = [one for one in board.children if _runs(one, job.program)]
        for child in job.running:
            child.program = job.program


def _runs(child: Child, program: Program) -> bool:
    return child.kind is ChildKind.COMMAND and child.program is not None and child.program.command == program.command


def _stand_in(row: ChildRow) -> Program:
    """Of a program that the options may not name any more: it is to be stopped, never started."""
    return Program(row.name, (), row.command, stop_signal=row.stop_signal, reload_signal=row.stop_signal)
