"""The statistics server of the master: uWSGI's document, and a socket that outlives the program."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.master.attachment import Attachment
from m2serve.master.heritage import Listener
from m2serve.observe.stats import document
from m2serve.observe.teller import Teller, inode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m2serve.ids import Seconds
    from m2serve.observe.snapshot import Snapshot
    from m2serve.observe.stats import Document


@dataclass(eq=False)
class StatsServer(Teller, Attachment):
    """An attachment of the master's loop.

    Args:
        snapshot: is there as soon as the loop runs, and nobody is served before.
        cores: the document has what each thread does.
    """

    snapshot: Callable[[Seconds], Snapshot] | None = None
    cores: bool = True

    def make(self, now: Seconds) -> Document:
        assert self.snapshot is not None
        return document(self.snapshot(now), cores=self.cores)

    def leave(self) -> Listener | None:
        """For the program that goes on."""
        return None if self._listener is None else Listener(self.address, self._listener.fileno())

    def take_over(self, left: Listener) -> None:
        """Go on listening where another master did; *left* is for this address."""
        self._listener = socket.socket(fileno=left.fd)
        if self.address.is_file:
            self._inode = inode(self.address.path)


def listen_again(servers: Sequence[StatsServer], left: Sequence[Listener]) -> list[StatsServer]:
    """After an upgrade: with another master's sockets; returns those for which there was none.

    A socket where nobody is to listen any more is closed.
    """
    rest = {one.address: one for one in left}
    new = []
    for server in servers:
        found = rest.pop(server.address, None)
        if found is None:
            new.append(server)
        else:
            server.take_over(found)
    for one in rest.values():
        socket.socket(fileno=one.fd).close()
        if one.address.is_file:
            with contextlib.suppress(OSError):
                os.unlink(one.address.path)
    return new
