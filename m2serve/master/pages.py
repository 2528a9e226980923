"""Small HTTP answers from the master, for plugins: a request is read as it comes, and nobody waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from m2serve.master.stats import StatsServer

if TYPE_CHECKING:
    from m2serve.ids import Seconds
    from m2serve.observe.teller import Client
    from m2serve.plugin.hooks import Page

_MOST: Final = 8192
"""Bytes of a request's head."""
_HEAD: Final = "HTTP/1.0 %s\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"


@dataclass(eq=False)
class PageServer(StatsServer):
    """Answers GET and HEAD with what a plugin's function makes."""

    page: Page | None = None

    def _greet(self, client: Client, now: Seconds) -> None:
        """He is to speak first."""

    def _hear(self, client: Client, data: bytes, now: Seconds) -> None:
        if not data or client.answered:
            super()._hear(client, data, now)
            return
        client.heard += data
        if b"\r\n\r\n" in client.heard or b"\n\n" in client.heard or len(client.heard) > _MOST:
            client.rest, client.answered = memoryview(self._answer(client.heard, now)), True
            self._go_on(client, now)

    def _answer(self, heard: bytes, now: Seconds) -> bytes:
        method, _, rest = heard.split(b"\n", 1)[0].partition(b" ")
        if method not in (b"GET", b"HEAD") or len(heard) > _MOST:
            return _response("400 Bad Request", "text/plain", b"expected GET\n")
        path = rest.split(b" ")[0].partition(b"?")[0].decode("latin-1").strip()
        assert self.page is not None and self.snapshot is not None
        made = self.page.call.run(path, self.snapshot(now))
        if made is None:
            return _response("404 Not Found", "text/plain", b"there is nothing here\n")
        kind, content = made
        answer = _response("200 OK", kind, content)
        return answer if method == b"GET" else answer[: -len(content) or None]


def _response(status: str, kind: str, content: bytes) -> bytes:
    return (_HEAD % (status, kind, len(content))).encode("latin-1") + content
