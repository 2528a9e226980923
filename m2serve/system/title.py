"""Names of our processes in ps and top; the only user of setproctitle."""

from __future__ import annotations

from setproctitle import setproctitle


def set_title(role: str, *, prefix: str = "") -> None:
    """Show this process as ``m2serve ROLE`` (``master``, ``worker 3``, ``dispatcher``), after *prefix*."""
    setproctitle(f"{prefix}m2serve {role}")


def is_master(title: str) -> bool:
    """Whether a process of this title is a master, under whatever prefix."""
    return title.endswith("m2serve master")
