"""A server of Graphite's: takes what is pushed to it."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class Graphite:
    """Listens while the block runs.

    Attributes: pushes: what came over each connection that has ended.
    """

    def __init__(self) -> None:
        self.pushes: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def latest(self) -> dict[str, int]:
        """The numbers of the last push, by their names; empty: there was none."""
        lines = self.pushes[-1].splitlines() if self.pushes else []
        return {name: int(value) for name, value, _ in (line.split(" ") for line in lines)}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # ends accept
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                self.pushes.append(stream.read().decode())
