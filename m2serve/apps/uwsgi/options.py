"""``uwsgi.opt``: the settings as uWSGI would show them to an application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.config.table import OPTIONS

if TYPE_CHECKING:
    from m2serve.config.settings import Settings


def options(settings: Settings) -> dict[str, bytes]:
    """Names with their values, flags that are off left out, of lists the last one: that is all uWSGI shows.

    What is always so here, and a flag there (``master``, ``enable-threads``), is among them whether somebody has set it
    or not: libraries look whether they may start threads.
    """
    found = {}
    for option in OPTIONS:
        value = getattr(settings, option.field)
        if option.kind.flag:
            shown = option.default if option.compat else value and option.field in settings.origins
            text = "true" if shown else None
        elif option.field not in settings.origins:
            text = None
        elif option.kind.many:
            text = str(value[-1]) if value else None
        else:
            text = f"{value:g}" if isinstance(value, float) else str(value)
        if text is not None:
            for name in (option.name, *option.aliases):
                found[name] = text.encode("utf-8", "surrogateescape")
    found.setdefault("processes", str(settings.processes).encode())
    found.setdefault("threads", str(settings.threads).encode())
    for name in ("py-call-osafterfork", "py-call-uwsgi-fork-hooks"):
        found.setdefault(name, b"true")
    return found
