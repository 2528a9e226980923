"""Workers that have grown so large that the machine suffers: killed at once, whatever they do.

Their clients get 502. That is what uWSGI's evil-reload-on-rss is for: a leak in a request that never ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.master.actions import Kill
from m2serve.master.child import ChildState
from m2serve.master.limits import MIB

if TYPE_CHECKING:
    from m2serve.ids import Seconds
    from m2serve.master.actions import Action
    from m2serve.master.board import Board
    from m2serve.master.child import Child
    from m2serve.master.limits import Limits


def decide(board: Board, now: Seconds) -> list[Action]:
    """Those that are to leave are no exception."""
    if not board.limits.is_evil:
        return []
    alive = [child for child in board.workers if child.state in (ChildState.READY, ChildState.DRAINING)]
    reasons = [(child, _too_large(board.limits, child)) for child in alive]
    return [Kill(child, reason, accident=True) for child, reason in reasons if reason]


def _too_large(limits: Limits, child: Child) -> str:
    if limits.evil_rss and child.rss >= limits.evil_rss:
        return f"evil-reload-on-rss, {child.rss // MIB} MiB"
    if limits.evil_address_space and child.address_space >= limits.evil_address_space:
        return f"evil-reload-on-as, {child.address_space // MIB} MiB"
    return ""
