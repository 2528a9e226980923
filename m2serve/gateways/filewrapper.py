"""``wsgi.file_wrapper`` (PEP 3333, "Optional Platform-Specific File Handling")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 64 * 1024


class FileWrapper:
    """An iterable over a file-like object, from where it stands to its end.

    Args:
        filelike: has ``read(size)``, perhaps ``close()``.
        block_size: a hint that the protocol allows us to ignore; blocks below 64 KiB only cost time.
    """

    def __init__(self, filelike: Any, block_size: int = BLOCK) -> None:
        self.filelike = filelike
        self.block_size = max(block_size, BLOCK)

    def read(self, size: int) -> Any:
        return self.filelike.read(size)

    def __iter__(self) -> Iterator[Any]:
        while data := self.filelike.read(self.block_size):
            yield data

    def close(self) -> None:
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()
