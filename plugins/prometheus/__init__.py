# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Metrics for Prometheus at ``/metrics``, answered by the master.

Numbers that uWSGI has too carry the names and labels of the usual exporter for it, so that its dashboards go on; what
only m2serve has begins with ``m2serve_``. How long requests run is counted by the workers themselves, in memory that
the master made before it forked them (:mod:`m2serve_plugins.prometheus.tally`).
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from m2serve.config.option import option
from m2serve.endpoint import StatsAddress  # noqa: TC001 - annotations are read at run time
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from m2serve.config.settings import Settings
    from m2serve.observe.snapshot import Snapshot
    from m2serve.plugin.hooks import Registrar

_LOADED: Final = frozenset(sys.modules)
try:
    from .metrics import render
    from .tally import RunTimes
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "prometheus_client":
        raise
    raise ConfigError("prometheus_client is not installed: pip install 'm2serve[prometheus]'") from error
# The application's own prometheus_client is another one: it may be another release, and decides at its import, by
# variables that the application's settings make, whether it counts for several processes.
for _name in [name for name in sys.modules if name.partition(".")[0] == "prometheus_client"]:
    if _name not in _LOADED:
        del sys.modules[_name]

FRESH: Final = 1.0
"""Seconds for which a page is good at least."""
SHARE: Final = 0.1
"""Of the master's time, for whoever asks without end."""


@dataclass(frozen=True)
class Options:
    """The plugin prometheus"""

    prometheus_address: StatsAddress | None = option(
        None, "Answer GET /metrics there. A path is a Unix socket.", metavar="[HOST]:PORT|PATH"
    )
    prometheus_cores: bool = option(False, "With metrics of every thread.")


def setup(hooks: Registrar, options: Options, settings: Settings) -> None:
    """Raises: ConfigError: nobody said where."""
    if options.prometheus_address is None:
        raise ConfigError("expected prometheus-address")
    times = RunTimes(settings.processes)
    page = Metrics(times, options.prometheus_cores, str(settings.stats or options.prometheus_address))
    hooks.on("spawn", times.spawn)
    hooks.on("gone", times.gone)
    hooks.on("fork", times.fork)
    hooks.on("request_end", times.request_end)
    hooks.page(options.prometheus_address, page.answer)


class Metrics:
    """The page."""

    def __init__(self, times: RunTimes, cores: bool, uri: str) -> None:
        self._times = times
        self._cores = cores
        self._uri = uri
        self._good_until = 0.0
        self._page: tuple[str, bytes] | None = None

    def answer(self, path: str, snapshot: Snapshot) -> tuple[str, bytes] | None:
        """Content type and content for ``/metrics``."""
        if path != "/metrics":
            return None
        now = time.monotonic()
        if self._page is None or now >= self._good_until:
            self._page = render(snapshot, self._times.total(), cores=self._cores, uri=self._uri)
            self._good_until = now + max(FRESH, (time.monotonic() - now) / SHARE)
        return self._page
