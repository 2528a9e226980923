"""Caches that applications share, as the options describe them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from m2serve.config import keyval
from m2serve.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2serve.config.settings import Settings

_NAMES = ("name", "blocks", "blocksize", "keysize", "expires", "bitmap", "hashsize", "math_initial")
_ALONE = ("hash", "sweep_on_full", "lazy_expire", "use_last_modified", "last_modified", "lastmod")
"""So it is here, or it changes nothing."""
_LOST = frozenset(
    ("store", "store_sync", "store_delete", "sync", "node", "nodes", "udp", "udp_server", "udp_servers", "no_expire")
)
_KEYS = {
    **{one: one for one in (*_NAMES, *_ALONE, *_LOST, "purge_lru", "ignore_full", "clear_on_full")},
    **dict.fromkeys(("items", "max_items", "maxitems"), "items"),
    "key_size": "keysize",
    "hash_size": "hashsize",
}
_LONGEST_KEY = 2048
BLOCK = 64 * 1024
_BUCKETS = 64 * 1024
_MOST = 1 << 40
"""Bytes. Pages that nobody fills cost nothing, but have to have an address."""


class CacheLine(NamedTuple):
    """One cache. Values are at most *blocksize* bytes long, with *bitmap* as long as all blocks together."""

    name: str
    items: int
    blocks: int = 0
    """0: as many as items."""
    blocksize: int = BLOCK
    keysize: int = _LONGEST_KEY
    hashsize: int = _BUCKETS
    expires: int = 0
    """Seconds, for what is stored without a time of its own; 0: never."""
    bitmap: bool = False
    purge_lru: bool = False
    """Where there is no room what was used least recently makes it."""
    clear_on_full: bool = False
    ignore_full: bool = False
    """No line in the log says that there was no room."""
    math_initial: int = 0
    lost: tuple[str, ...] = ()
    """What is asked for in vain."""
    text: str = ""
    """As it was written."""

    @classmethod
    def parse(cls, text: str) -> CacheLine:
        """Read ``name=NAME,items=N,blocksize=BYTES,...``; a number alone is ``name=default,items=N``.

        Raises: ConfigError: with what was expected.
        """
        values = keyval.parse(f"name=default,items={text.strip()}" if text.strip().isdecimal() else text, _KEYS)
        line = cls(
            values.get("name", ""),
            keyval.number(values, "items", 0),
            keyval.number(values, "blocks", 0),
            keyval.number(values, "blocksize", BLOCK),
            keyval.number(values, "keysize", _LONGEST_KEY),
            keyval.number(values, "hashsize", _BUCKETS),
            keyval.number(values, "expires", 0),
            _flag(values, "bitmap"),
            _flag(values, "purge_lru"),
            _flag(values, "clear_on_full"),
            _flag(values, "ignore_full"),
            keyval.number(values, "math_initial", 0),
            tuple(name for name in values if name in _LOST),
            text,
        )
        if not line.name or not line.items:
            raise ConfigError("expected name=NAME,items=N and what else there is to say, with commas")
        if 0 < line.blocks < line.items:
            raise ConfigError(f"blocks={line.blocks}: expected no fewer than items, {line.items}")
        for name in ("blocksize", "keysize", "hashsize"):
            if not getattr(line, name):
                raise ConfigError(f"{name}=0: expected 1 or more")
        if line.items * line.keysize + (line.blocks or line.items) * line.blocksize > _MOST:
            raise ConfigError("expected items and blocks of no more than 1 TiB")
        return line._replace(blocks=line.blocks or line.items)

    def __str__(self) -> str:
        return self.text


def _flag(values: Mapping[str, str], name: str) -> bool:
    return keyval.number(values, name, 0) != 0


def caches(settings: Settings) -> tuple[CacheLine, ...]:
    """All of them; the first one is meant where an application names none."""
    lines = settings.cache2
    if settings.cache:
        line = CacheLine("default", settings.cache, settings.cache, int(settings.cache_blocksize))
        lines = (line, *lines)
    return lines
