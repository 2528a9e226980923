"""The applications' caches, as the master has them: it makes their memory and tells how full they are."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from m2serve.apps.cache import memory
from m2serve.apps.cache.memory import Geometry
from m2serve.errors import ConfigError
from m2serve.observe.snapshot import Cache

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from m2serve.config.caches import CacheLine

log = logging.getLogger("m2serve.master")


def make_caches(lines: Iterable[CacheLine], left: Mapping[str, int]) -> dict[str, int]:
    """Memory for each; one that another master has left goes on if its sizes are those wanted now.

    What is not wanted any more is closed; old workers keep it as long as they live.

    Raises: ConfigError: there can be none as large as that.
    """
    rest, made = dict(left), {}
    for line in lines:
        wanted = Geometry(line.items, line.blocks, line.blocksize, line.keysize, line.hashsize)
        fd = rest.pop(line.name, None)
        if fd is not None and memory.geometry(fd) != wanted:
            log.warning("cache %s begins empty, its sizes have changed", line.name)
            os.close(fd)
            fd = None
        try:
            made[line.name] = memory.create(wanted) if fd is None else fd
        except OSError as error:
            raise ConfigError(f"cache {line.name}: {error.strerror}") from None
    for fd in rest.values():
        os.close(fd)
    return made


def facts(name: str, fd: int) -> Cache:
    """What there is to tell about one; asks for no lock."""
    found = memory.counters(fd)
    return Cache(
        name,
        found[memory.BUCKETS],
        found[memory.KEYSIZE],
        found[memory.ITEMS],
        found[memory.BLOCKS],
        found[memory.BLOCKSIZE],
        found[memory.COUNT],
        found[memory.HITS],
        found[memory.MISSES],
        found[memory.FULL],
        found[memory.MODIFIED],
    )
