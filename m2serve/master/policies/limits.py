"""Workers that have lived long enough, served enough, grown too large or failed: replaced one at a time.

A successor starts beside; when it is ready the old one is drained. If it does not come up the old one stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.ids import Seconds
from m2serve.master.actions import Dismiss, Promote, Release, Renew
from m2serve.master.child import ChildState
from m2serve.master.generation import GenerationState
from m2serve.master.limits import MIB
from m2serve.master.policies.reload import farewell

if TYPE_CHECKING:
    from m2serve.master.actions import Action
    from m2serve.master.board import Board, Slot
    from m2serve.master.child import Child
    from m2serve.master.limits import Limits

EARLY_DEATHS = 3
"""So many successors may die before they are ready; one more and the old worker stays for a while."""

TRY_AGAIN = Seconds(60.0)


def decide(board: Board, now: Seconds) -> list[Action]:
    """Go on with the replacement that is under way, else begin one. Not while a reload loads: it replaces all."""
    if board.stop is not None or board.reload_wanted is not None:
        return []
    if not board.limits and not any(_asked(slot) for slot in board.slots):
        return []
    if any(one.state is GenerationState.STARTING for one in board.generations):
        return []
    for slot in board.slots:
        if slot.replaces is not None:
            return _settle(board, slot, slot.replaces, now)
    for slot in board.slots:
        reason = _over(board.limits, slot, now)
        if reason:
            return [Renew(slot, reason)]
    return []


def _asked(slot: Slot) -> bool:
    """Whether the worker there has asked to be replaced, or is the successor of such a one."""
    return slot.replaces is not None or (slot.child is not None and bool(slot.child.unwanted))


def _settle(board: Board, slot: Slot, old: Slot, now: Seconds) -> list[Action]:
    child = slot.child
    if (child is not None and child.failed) or slot.short_lives > EARLY_DEATHS:
        return [
            Dismiss(slot, old, Seconds(now + TRY_AGAIN)),
            *_leave(child, "not needed", Seconds(now + board.mercy), now),
        ]
    if child is None or child.state is not ChildState.READY:
        return []
    return [
        Promote(slot),
        Release(old),
        *_leave(old.child, "its successor is ready", Seconds(now + board.mercy), now),
    ]


def _leave(child: Child | None, reason: str, deadline: Seconds, now: Seconds) -> list[Action]:
    leave = None if child is None else farewell(child, reason, deadline, now)
    return [] if leave is None else [leave]


def _over(limits: Limits, slot: Slot, now: Seconds) -> str:
    """Why the worker there has to go; empty if it may stay."""
    child = slot.child
    if not slot.worker or child is None or child.state is not ChildState.READY or now < slot.stays_until:
        return ""
    if child.unwanted:
        return child.unwanted
    age = now - child.started
    if age < limits.least_lifetime:
        return ""
    # As in uWSGI the number of the worker counts, so that not all reach it at once.
    most = limits.requests + limits.requests_delta * slot.worker
    if limits.requests and child.requests >= most:
        return f"max-requests, {child.requests} served"
    oldest = limits.lifetime + limits.lifetime_delta * slot.worker
    if limits.lifetime and age >= oldest:
        return f"max-worker-lifetime, {age:.0f} s old"
    if limits.rss and child.rss >= limits.rss:
        return f"reload-on-rss, {child.rss // MIB} MiB"
    if limits.uss and child.uss >= limits.uss:
        return f"reload-on-uss, {child.uss // MIB} MiB"
    if limits.pss and child.pss >= limits.pss:
        return f"reload-on-pss, {child.pss // MIB} MiB"
    if limits.address_space and child.address_space >= limits.address_space:
        return f"reload-on-as, {child.address_space // MIB} MiB"
    return ""
