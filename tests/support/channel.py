"""Stand-ins for what surrounds a gateway: a channel that remembers, a clock that is told, request factories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.errors import ClientGone
from m2serve.gateways.base import UNLIMITED
from m2serve.message import Request

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeChannel:
    """Records messages.

    Args:
        gone_after: the client leaves when that many messages have arrived.
        credit: bytes that may leave; None: nobody counts.
        detachable: the answer may go on without its thread.
    """

    def __init__(self, gone_after: int | None = None, *, credit: int | None = None, detachable: bool = False) -> None:
        self.credit = UNLIMITED if credit is None else credit
        self.limited = credit is not None
        self.detachable = detachable
        self.paced = True
        self.send_file = None
        self.asked = 0
        self.probes = 0
        self.look: Callable[[], None] | None = None
        self.messages: list[bytes] = []
        self.closed = False
        self.over = False
        self.gone_after = gone_after
        self.gone = gone_after == 0

    def connected(self) -> bool:
        return not self.gone

    def allowed(self) -> int:
        return self.credit

    def ask(self) -> int:
        self.asked += 1
        return self.credit

    def watch(self, look: Callable[[], None]) -> None:
        self.look = look

    def settle(self) -> None:
        pass

    def probe(self) -> None:
        self.probes += 1

    def grant(self, count: int) -> None:
        """The client has read so much."""
        self.credit += count
        if self.look is not None:
            self.look()

    def leave(self) -> None:
        """The client leaves."""
        self.gone = True
        if self.look is not None:
            self.look()

    def send(self, *parts: bytes) -> None:
        message = b"".join(parts)
        assert len(message) <= self.credit, "more than is allowed"
        if self.limited:
            self.credit -= len(message)
        assert message, "an empty message would close the connection"
        assert not self.closed, "a message after the close"
        assert not self.over, "a message after the last one"
        assert all(type(part) is bytes for part in parts)
        if self.gone:
            raise ClientGone("gone")
        self.messages.append(message)
        if len(self.messages) == self.gone_after:
            self.gone = True

    def send_last(self, *parts: bytes) -> bool:
        assert not self.messages, "not a complete answer"
        if sum(map(len, parts)) > self.credit:
            return False
        self.send(*parts)
        self.over = True
        return True

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = not self.gone

    @property
    def sent(self) -> bytes:
        return b"".join(self.messages)


class FakeClock:
    """A clock that moves when told, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def make_request(
    method: str = "GET",
    uri: str = "/",
    headers: dict[str, str | list[str]] | None = None,
    body: bytes = b"",
    *,
    version: str = "HTTP/1.1",
    pattern: str = "/",
    scheme: str = "http",
    own: dict[str, str | None] | None = None,
) -> Request:
    """A request as Mongrel2 would send it; *own* adds upper-case keys, or takes them away with None."""
    path, question, query = uri.partition("?")
    keys: dict[str, str | None] = {
        "METHOD": method,
        "PATH": path,
        "URI": uri,
        "VERSION": version,
        "PATTERN": pattern,
        "URL_SCHEME": scheme,
        "REMOTE_ADDR": "127.0.0.1",
    }
    if question:
        keys["QUERY"] = query
    keys.update(own or {})
    raw: dict[bytes, bytes | list[bytes]] = {
        key.encode(): value.encode("latin-1") for key, value in keys.items() if value is not None
    }
    sent: dict[str, str | list[str]] = {"host": "example.org"}
    if body:
        sent["content-length"] = str(len(body))
    sent.update(headers or {})
    for name, value in sent.items():
        several = [item.encode("latin-1") for item in value] if isinstance(value, list) else value.encode("latin-1")
        raw[name.encode("latin-1")] = several
    return Request(b"app-1", b"7", path.encode("latin-1"), raw, body)
