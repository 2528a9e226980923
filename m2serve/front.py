"""What is known of one Mongrel2: where its files lie, and how it was configured."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from m2serve.endpoint import Endpoint, ZmqPair


class Front(NamedTuple):
    """The web server behind one endpoint. What a field does not know is None; each process has the same view."""

    pair: ZmqPair
    chroot: str = "/"
    """Where Mongrel2's ``/`` lies for us: an absolute path."""
    directory: str = "/"
    """Where its relative names start, for us: an absolute path."""
    temp_store: str | None = None
    """``upload.temp_store``: a template as Mongrel2 sees it, ends in ``XXXXXX``; None: not known, or not set."""
    content_length: int = 20480
    """``limits.content_length``: the largest body in bytes that comes inside a message."""
    stream: bool = False
    """``upload.stream``: large bodies come in pieces, not as files."""
    flow_control: bool = False
    """``download.flow_control``: a connection takes bytes on credit."""
    control: Endpoint | None = None
    """The control port."""
    sendfile: bool = False
    """The sendfile filter is loaded."""

    def paths(self, name: str) -> tuple[str, ...]:
        """Where a file that Mongrel2 calls *name* may lie for us, the likeliest first.

        The second is for a Mongrel2 without the rights for its chroot: it goes on without one.
        """
        if not name.startswith("/"):
            return (os.path.join(self.directory, name),)
        return tuple(dict.fromkeys((self.chroot.rstrip("/") + name, name)))
