"""Entry of the dispatcher process, after the fork."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from m2serve.dispatcher.loop import Dispatcher
from m2serve.errors import ExitCode

if TYPE_CHECKING:
    from m2serve.config.settings import Settings
    from m2serve.system.link import Link
    from m2serve.transports.node import NodeFds


def run(settings: Settings, link: Link, node: NodeFds) -> int:
    """Dispatch until the master says DRAIN or is gone; gives the exit code."""
    # A terminal or a service manager signals the whole group; only the master decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Dispatcher(settings, link, node).run()
    return ExitCode.OK
