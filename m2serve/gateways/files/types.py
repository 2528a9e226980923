"""Media types by the ends of names."""

from __future__ import annotations

import logging
import mimetypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger("m2serve.gateway")

_SYSTEM = "/etc/mime.types"
UNKNOWN = "application/octet-stream"

_MODERN = {
    ".mjs": "text/javascript",
    ".js": "text/javascript",
    ".map": "application/json",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".gz": "application/gzip",
    ".bz2": "application/x-bzip2",
    ".xz": "application/x-xz",
    ".zst": "application/zstd",
}
"""What neither every Python nor every machine knows."""


class MediaTypes:
    """Python's table, the machine's, and *files*; what comes later counts."""

    def __init__(self, files: Iterable[str] = ()) -> None:
        # not the module's own table: an application may change that
        table = mimetypes.MimeTypes()
        table.types_map[1].update(_MODERN)
        for file in (*([_SYSTEM] if os.path.isfile(_SYSTEM) else ()), *files):
            try:
                table.read(file)
            except (OSError, ValueError) as error:
                log.warning("media types of %s are not known: %s", file, error)
        self._types = table.types_map[1]

    def of(self, name: str) -> str:
        """The type of a file with that name."""
        return self._types.get(os.path.splitext(name)[1].lower(), UNKNOWN)
