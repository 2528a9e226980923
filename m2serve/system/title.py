"""Names of our processes in ps and top; the only user of setproctitle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from setproctitle import setproctitle

if TYPE_CHECKING:
    from m2serve.config.settings import Settings


def set_title(role: str, settings: Settings) -> None:
    """Show this process as ``m2serve ROLE`` (``master``, ``worker 3``, ``dispatcher``), or as the settings want it."""
    setproctitle(title(role, settings))


def title(role: str, settings: Settings) -> str:
    """As uWSGI composes it: a name of the user's own in place of ours, with his prefix and what he appends."""
    name = settings.procname_master if role == "master" and settings.procname_master else settings.procname
    prefix = settings.procname_prefix or (f"{settings.procname_prefix_spaced} " * bool(settings.procname_prefix_spaced))
    return f"{prefix}{name or f'm2serve {role}'}{settings.procname_append}"
