# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about caches that applications share."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.caches import BLOCK, CacheLine
from m2serve.config.option import option
from m2serve.ids import Bytes


@dataclass(frozen=True)
class CachesGroup:
    """Caches"""

    cache2: tuple[CacheLine, ...] = option(
        (),
        "A cache in memory that all workers share (uwsgi.cache_get): name, items, blocksize, blocks, keysize, expires, "
        "bitmap, purge_lru, clear_on_full, ignore_full, hashsize, math_initial.",
        metavar="KEY=VALUE,...",
    )
    cache: int = option(0, "The same with the name default, of so many items; 0 for none.", metavar="N")
    cache_blocksize: Bytes = option(Bytes(BLOCK), "How long its values may be.", minimum=1)
