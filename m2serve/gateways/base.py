"""The seams around a gateway: where answers go, who answers, what is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Environ: TypeAlias = "dict[str, Any]"
Write: TypeAlias = "Callable[[bytes], None]"
WSGIApp: TypeAlias = "Callable[[Environ, Callable[..., Write]], Iterable[bytes]]"

NO_APP = -1
"""The application number of a request that reached none."""
FILE = -2
"""The same, because a static file was the answer."""

EXCEPTION = 1
READ_ERROR = 2
WRITE_ERROR = 3
"""Troubles that are counted: the application raised; its client did not send the body; its client has left."""

CLIENT_GONE_STATUS = 499
"""Reported where the client left before an answer began; nginx' number for it. Never sent."""


UNLIMITED = 1 << 62
"""What a channel allows, at least, where nobody counts the bytes."""


class Channel(Protocol):
    """Where one request's answer goes (the transport implements it)."""

    gone: bool
    """The client is known to have left, or the connection to its Mongrel2 was lost."""

    @property
    def detachable(self) -> bool:
        """Whether an answer may go on when its thread has left."""

    @property
    def paced(self) -> bool:
        """Whether each message costs whoever stands between us and the client, so that small ones are joined."""

    def connected(self) -> bool:
        """Whether the client is not known to have left."""

    def allowed(self) -> int:
        """Bytes that may leave now: more, and Mongrel2 would cut the client off."""

    def ask(self) -> int:
        """As :meth:`allowed`, and from now on whoever :meth:`watch` named is called when it has grown."""

    def watch(self, look: Callable[[], None]) -> None:
        """Have *look* called, from any thread, when the client has left, and when :meth:`ask` was heard."""

    def probe(self) -> None:
        """Ask whether the client is there; it may have vanished without a notice. The answer is that it is ``gone``.

        Raises: ClientGone: as :meth:`send`.
        """

    def settle(self) -> None:
        """Called by whoever sends, before it looks at what is allowed: the channel may have moved."""

    def send(self, *parts: bytes) -> None:
        """Send one message to the client, of no more bytes than are allowed.

        Raises: ClientGone: it cannot arrive any more.
        """

    def send_last(self, *parts: bytes) -> bool:
        """Send a complete answer in one message; nothing but :meth:`close` follows.

        Returns: False: it is more than is allowed, and nothing was sent.
        Raises: ClientGone: it cannot arrive any more.
        """

    @property
    def send_file(self) -> Callable[[int, int, int], int | None] | None:
        """Sends bytes of a file, without waiting: of descriptor, offset, size; gives how many have left, 0 at the end
        of the file, None if there is no room now (then whoever :meth:`watch` named is called when there is).

        None: files must be read. Raises: ClientGone; OSError: the file cannot be read.
        """

    def close(self) -> None:
        """Close the client's connection after what was sent; does not raise if the client has gone."""


class Body(Protocol):
    """A request's body that does not lie in its message (a file, or pieces that are still to come).

    Attributes:
        input: ``wsgi.input``.
        length: CONTENT_LENGTH; None where nobody knows it yet.
        fault: why there is no body to be read, and so no call of the application; None: all is well.
    """

    input: Any
    length: int | None
    fault: str | None

    @property
    def status(self) -> int:
        """Of the answer, where there is a fault."""

    @property
    def complete(self) -> bool:
        """All of it has come from the client, so that the connection can serve another request."""

    def close(self) -> None:
        """The request is over."""


class Mounts(Protocol):
    """The applications and the paths they live under."""

    def resolve(self, path_info: str) -> tuple[int, WSGIApp, str, str]:
        """Choose by path.

        Returns: number of the application, the application, the path it is mounted at (to be appended to
            SCRIPT_NAME), the rest (the new PATH_INFO).
        """


class Outcome(NamedTuple):
    """What became of one request, for logs and counters."""

    status: int
    """Of the answer; 0: none was sent, nor due."""
    body_bytes: int = 0
    """Sent, chunk framing not counted."""
    header_count: int = 0
    header_bytes: int = 0
    """Status line, headers and the empty line."""
    closed: bool = False
    """The client's connection was closed."""
    error: str | None = None
    """In short, what went wrong; the details are in the log."""
    app: int = NO_APP
    trouble: int = 0
    """EXCEPTION, READ_ERROR or WRITE_ERROR, if there was any."""
    filed: bool = False
    """The body, if there was one, was a file's: a static one, or one that ``wsgi.file_wrapper`` was given."""
