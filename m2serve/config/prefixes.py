"""What an option says for all of the site, and for parts of it: the longest prefix of the path counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

_T = TypeVar("_T")


class ByPrefix(Generic[_T]):
    """Looks up what holds for a path: that of the longest prefix which ends where a segment of the path ends.

    Args: values: prefix and value; the empty prefix is for all, and of two for one prefix the last counts.
    """

    def __init__(self, values: Iterable[tuple[str, _T]]) -> None:
        latest = {prefix.encode(): value for prefix, value in values}
        self._values = sorted(latest.items(), key=lambda item: len(item[0]), reverse=True)

    def __bool__(self) -> bool:
        return bool(self._values)

    def of(self, path: bytes) -> _T | None:
        """What holds for *path* (undecoded, without query); None: nothing was said."""
        path = unquote_to_bytes(path)
        for prefix, value in self._values:
            if not prefix or (path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/")):
                return value
        return None
