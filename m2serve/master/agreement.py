"""Whether these settings, and this code, can go on with what another master leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.errors import ConfigError
from m2serve.mongrel2.fronts import fronts
from m2serve.mongrel2.soundness import examine
from m2serve.transports import layout

if TYPE_CHECKING:
    from m2serve.config.settings import Settings
    from m2serve.front import Front
    from m2serve.master.heritage import Heritage

_RESTART = "only a restart changes that"


def agree(heritage: Heritage, settings: Settings) -> tuple[Front, ...]:
    """What is known of each Mongrel2 now.

    Raises: ConfigError: it is not possible, and why.
    """
    if heritage.layout != layout.VERSION:
        text = f"m2serve {heritage.program} shares memory of layout {heritage.layout}, this one of {layout.VERSION}"
        raise ConfigError(f"upgrade: {text}: {_RESTART}")
    if heritage.dispatched != settings.dispatched:
        running = "with" if heritage.dispatched else "without"
        name = "zeromq_direct" if settings.zeromq_direct or heritage.node.endpoints else "zeromq"
        raise ConfigError(_mistake(settings, name, f"the server runs {running} a dispatcher"))
    if (settings.with_mongrel2 is None) != (heritage.attached is None):
        running = "without" if heritage.attached is None else "with"
        raise ConfigError(_mistake(settings, "with_mongrel2", f"the server runs {running} a Mongrel2 of its own"))
    known = fronts(settings, heritage.attached)
    examine(settings, known)
    wanted = tuple((str(front.pair.send), str(front.pair.recv)) for front in known)
    if wanted != heritage.node.endpoints:
        ours, theirs = (" ".join(map(",".join, pairs)) for pairs in (wanted, heritage.node.endpoints))
        raise ConfigError(_mistake(settings, "zeromq", f"{ours}: the server runs with {theirs}"))
    return known


def _mistake(settings: Settings, name: str, text: str) -> str:
    return f"{settings.origin(name)}: {name.replace('_', '-')}: {text}: {_RESTART}"
