"""What the master does about workers that do not get on: with a request, or with loading."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from m2serve.master import dumps
from m2serve.master.generation import GenerationState
from m2serve.master.late import Accusation, Late, report
from m2serve.system import stacks
from m2serve.wire.link import Verb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from m2serve.ids import Seconds
    from m2serve.master.board import Board
    from m2serve.master.child import Child
    from m2serve.transports.node import NodeFds

log = logging.getLogger("m2serve.master")


def ask(child: Child, node: NodeFds, number: int, now: Seconds) -> None:
    """Have it write its stacks."""
    child.asked = now
    sheet = node.sheet_fd(child.key)
    if sheet is not None:
        dumps.ask(child, sheet, number)


# -- a request over its deadline -------------------------------------------------------------------------------------


def accuse(child: Child, late: Late, now: Seconds) -> None:
    """Tell the worker."""
    child.accused[late.key] = Accusation(late, now)
    if child.link is not None:
        payload = {"core": late.core, "number": late.number, "id": late.request_id, "method": late.method}
        child.link.send(Verb.HARAKIRI, payload)


def confess(child: Child, payload: Mapping[str, Any], board: Board, now: Seconds) -> None:
    """The worker has given up the thread."""
    accusation = child.accused.get((int(payload["core"]), int(payload["number"])))
    if accusation is None:
        return
    stack = str(payload.get("stack", ""))
    if board.verbose_harakiri:
        stack += "\n" + str(payload.get("others", ""))
    report(child, accusation.late, now, str(payload.get("verdict", "")), stack, verbose=board.verbose_harakiri)


def tell_silent(child: Child, node: NodeFds, board: Board, now: Seconds) -> None:
    """The worker does not answer, and is about to be killed."""
    found = _stacks(child, node)
    verdict = "the worker does not answer and is killed" + ("; answered 504" if board.dispatched else "")
    for late in child.late:
        ident = child.natives[late.core][0] if late.core < len(child.natives) else 0
        stack = stacks.applications(found.pop(ident, ""))
        report(child, late, now, verdict, stack, verbose=board.verbose_harakiri)
    # Which of them keeps the lock cannot be seen from outside.
    rest = [
        f"thread {ident:#x}:\n{stacks.applications(stack)}"
        for ident, stack in found.items()
        if not stacks.is_idle(stack)
    ]
    if rest:
        log.error("%s (pid: %d): its other threads\n%s", child.name, child.pid, "\n".join(rest))


# -- loading that takes long -----------------------------------------------------------------------------------------


def tell_loading(child: Child, node: NodeFds, board: Board, now: Seconds) -> None:
    """Once more."""
    child.told += 1
    limit = f" of {board.start_timeout:g} (worker-start-timeout)" if board.start_timeout else ""
    # Tests wait for this line.
    log.warning(
        "%s (pid: %d, generation %d) still loads after %.0f s%s, at\n%s",
        child.name, child.pid, child.generation, now - child.started, limit, _place(child, node),
    )  # fmt: skip


def give_up_loading(child: Child, node: NodeFds, board: Board, now: Seconds) -> None:
    """The worker is about to be killed: its reload is given up, and where it was to replace one, that stays."""
    reason = f"{child.name} has not loaded within {board.start_timeout:g} s"
    log.error("%s, at\n%s", reason, _place(child, node))
    child.failed = True
    generation = board.generation(child.generation)
    if generation is not None and generation.state is GenerationState.STARTING:
        generation.overlong = generation.overlong or reason


def _place(child: Child, node: NodeFds) -> str:
    found = _stacks(child, node)
    stack = next(iter(found.values()), "")
    return stacks.applications(stack) or "  (where, it does not say)"


def _stacks(child: Child, node: NodeFds) -> dict[int, str]:
    sheet = node.sheet_fd(child.key)
    return {} if sheet is None else dumps.read(child, sheet)
