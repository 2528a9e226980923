"""The limits of ``limit-post`` in effect."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.config.values import PostLimit


class PostLimits:
    """Looks up the limit of a path: that of the longest prefix which ends where a segment of the path ends."""

    def __init__(self, limits: Iterable[PostLimit] = ()) -> None:
        latest = {limit.prefix.encode(): int(limit.size) for limit in limits}
        self._limits = sorted(latest.items(), key=lambda item: len(item[0]), reverse=True)

    def __bool__(self) -> bool:
        return bool(self._limits)

    def of(self, path: bytes) -> int | None:
        """Bytes that a body may have which is sent to *path* (undecoded, without query); None: any number."""
        path = unquote_to_bytes(path)
        for prefix, size in self._limits:
            if not prefix or (path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/")):
                return size
        return None
