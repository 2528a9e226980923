"""Watches the doors while no worker is wanted: who comes then wakes them all."""

from __future__ import annotations

import logging
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING

from m2serve.master.attachment import Attachment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2serve.ids import Seconds
    from m2serve.master.board import Board
    from m2serve.transports.node import NodeFds

log = logging.getLogger("m2serve.master")


@dataclass
class Knocks(Attachment):
    """Accepts nobody: a connection waits in the kernel's queue until a worker is there."""

    board: Board
    node: NodeFds

    def polled(self) -> Mapping[int, int]:
        if not self.board.asleep or self.board.stop is not None:
            return {}
        return {door.fd: select.POLLIN for door in self.node.doors}

    def ready(self, fd: int, now: Seconds) -> None:
        if self.board.asleep:
            self.board.wake()
            name = next((door.name for door in self.node.doors if door.fd == fd), "a door")
            # Tests wait for this line.
            log.info("a connection waits at %s: %d workers wanted", name, self.board.wanted)
