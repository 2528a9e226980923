"""A cache as an application uses it: one at a time, of all processes and threads."""

from __future__ import annotations

import contextlib
import logging
import operator
import time
from typing import TYPE_CHECKING, Final

from m2serve.apps.cache import memory as words
from m2serve.apps.cache.memory import Memory
from m2serve.apps.cache.table import Table
from m2serve.apps.uwsgi.locks import Locks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from m2serve.config.caches import CacheLine

log = logging.getLogger("m2serve.cache")

_SECOND: Final = 10**9
_EVER: Final = 10**10
"""Seconds; so long, and it does not expire."""
_SWEEPS: Final = 3 * _SECOND
_SAYS: Final = 60 * _SECOND
"""One line a minute says that there is no room."""

CHANGES: Final[Mapping[str, Callable[[int, int], int]]] = {
    "inc": operator.add,
    "dec": operator.sub,
    "mul": operator.mul,
    # as uWSGI has it: towards 0, and 0 by 0
    "div": lambda value, by: int(abs(value) // abs(by)) * (1 if (value < 0) == (by < 0) else -1) if by else 0,
}


class Cache:
    """One cache of the node, in any of its processes.

    The lock is the kernel's (`Locks`): who is killed with it gives it back, and who gets it next puts in order what he
    finds halfway. Nobody reads without it.

    Threads: any.

    Args:
        fd: of the memory; mapped when it is used for the first time.
        now: monotonic nanoseconds.
    """

    def __init__(self, fd: int, line: CacheLine, now: Callable[[], int] = time.monotonic_ns) -> None:
        self._fd = fd
        self._line = line
        self._now = now
        self._locks = Locks(fd)
        self._table: Table | None = None
        self._memory: Memory | None = None
        self._said: int | None = None

    def get(self, key: bytes) -> bytes | None:
        """The value; None: there is none."""
        with self._locked() as (table, memory):
            item = self._find(table, key)
            if not item:
                memory.words[words.MISSES] += 1
                return None
            memory.words[words.HITS] += 1
            if self._line.purge_lru:
                table.use(item)
            return table.value(item)

    def exists(self, key: bytes) -> bool:
        with self._locked() as (table, _):
            return self._find(table, key) != 0

    def store(self, key: bytes, value: bytes, expires: int = 0, *, overwrite: bool = False) -> bool:
        """Keep a value; False: there is one and it is to stay, there is no room, or one of both is too long or empty.

        Args: expires: in so many seconds; 0: as the cache has it.
        """
        if not self._fits(key, value):
            return False
        with self._locked() as (table, memory):
            item = self._find(table, key)
            stored = (overwrite or not item) and self._write(table, memory, key, value, self._until(expires), item)
            full = not stored and (overwrite or not item)
        if full:
            self._say_full()
        return stored

    def change(self, key: bytes, how: str, by: int, expires: int = 0) -> bool:
        """Compute with a value, a number of 64 bits with its sign; where there is none it begins with math_initial.

        Args: expires: in so many seconds; 0: as it was, or as the cache has it.
        """
        if not self._fits(key, bytes(8)):
            return False
        with self._locked() as (table, memory):
            item = self._find(table, key)
            number = _number(table.value(item)) if item else self._line.math_initial
            value = _wrapped(CHANGES[how](number, by)).to_bytes(8, "little", signed=True)
            until = table.expires(item) if item and not expires else self._until(expires)
            stored = self._write(table, memory, key, value, until, item)
        if not stored:
            self._say_full()
        return stored

    def number(self, key: bytes) -> int:
        """The value as a number; 0: there is none."""
        with self._locked() as (table, _):
            item = self._find(table, key)
            return _number(table.value(item)) if item else 0

    def delete(self, key: bytes) -> bool:
        """Whether there was any."""
        with self._locked() as (table, memory):
            item = self._find(table, key)
            if item:
                table.remove(item)
                memory.words[words.MODIFIED] = int(time.time())
            return item != 0

    def clear(self) -> None:
        with self._locked() as (table, memory):
            table.clear()
            memory.words[words.MODIFIED] = int(time.time())

    def keys(self) -> list[bytes]:
        with self._locked() as (table, _):
            now = self._now()
            return [table.key(item) for item in table.items() if not 0 < table.expires(item) <= now]

    # --- inside -----------------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self) -> Iterator[tuple[Table, Memory]]:
        self._locks.acquire(0)
        try:
            if self._table is None or self._memory is None:
                self._memory = Memory(self._fd)
                self._table = Table(self._memory)
            self._table.restore()
            yield self._table, self._memory
        finally:
            self._locks.release(0)

    def _fits(self, key: bytes, value: bytes) -> bool:
        line = self._line
        most = line.blocksize * (line.blocks if line.bitmap else 1)
        return 0 < len(key) <= line.keysize and 0 < len(value) <= most

    def _until(self, seconds: int) -> int:
        seconds = seconds or self._line.expires
        return self._now() + int(seconds * _SECOND) if 0 < seconds < _EVER else 0

    def _find(self, table: Table, key: bytes) -> int:
        """The item with this key, if it has not expired."""
        item = table.find(key)
        if item and 0 < table.expires(item) <= self._now():
            table.remove(item)
            return 0
        return item

    def _write(self, table: Table, memory: Memory, key: bytes, value: bytes, expires: int, instead: int) -> bool:
        now, header = self._now(), memory.words
        if not table.has_room(len(value), instead) or now - header[words.SWEPT] > _SWEEPS:
            header[words.SWEPT] = now
            table.sweep(now)
            instead = table.find(key)  # it may have expired this very moment
        if not table.has_room(len(value), instead) and self._line.clear_on_full:
            table.clear()
            instead = 0
        while not table.has_room(len(value), instead):
            if not self._line.purge_lru:
                header[words.FULL] += 1
                return False
            # the one that is to be replaced may be the oldest
            oldest = table.oldest()
            instead = 0 if oldest == instead else instead
            table.remove(oldest)
        table.write(key, value, expires, instead)
        header[words.MODIFIED] = int(time.time())
        return True

    def _say_full(self) -> None:
        now = self._now()
        if not self._line.ignore_full and (self._said is None or now - self._said > _SAYS):
            self._said = now
            log.warning("cache %s is full: what does not fit in is not kept", self._line.name)


class Caches:
    """All of them. Args: fds: by name."""

    def __init__(self, lines: Sequence[CacheLine], fds: Mapping[str, int]) -> None:
        self._caches = {line.name: Cache(fds[line.name], line) for line in lines if line.name in fds}

    def find(self, name: str) -> Cache | None:
        """The one with this name; of an empty one, the first."""
        return self._caches.get(name) if name else next(iter(self._caches.values()), None)


def _number(value: bytes) -> int:
    return int.from_bytes(value[:8].ljust(8, b"\0"), "little", signed=True)


def _wrapped(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63
