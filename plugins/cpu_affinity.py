"""Each worker on processors of its own, round robin, as uWSGI's ``cpu-affinity`` has it."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m2serve.config.settings import Settings
    from m2serve.plugin.hooks import Registrar

log = logging.getLogger("m2serve.plugin")


def setup(hooks: Registrar, settings: Settings) -> None:
    """Raises: ConfigError: nobody said how many."""
    each = settings.cpu_affinity
    if not each:
        raise ConfigError("expected cpu-affinity, the number of processors for each worker")

    def fork(worker: int) -> None:
        usable = sorted(os.sched_getaffinity(0))
        wanted = share(usable, each, worker)
        os.sched_setaffinity(0, wanted)
        # Tests wait for this line.
        log.info("worker %d runs on processors %s", worker, " ".join(map(str, wanted)))

    hooks.on("fork", fork)


def share(usable: Sequence[int], each: int, worker: int) -> list[int]:
    """The processors for a worker, which are numbered from 1."""
    first = (worker - 1) * each
    return sorted({usable[index % len(usable)] for index in range(first, first + each)})
