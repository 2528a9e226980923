"""What is known of a request when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from m2serve.message import Request


class Answered(Protocol):
    """What is recorded of an answer; a gateway's outcome is one."""

    @property
    def status(self) -> int: ...
    @property
    def body_bytes(self) -> int: ...
    @property
    def header_count(self) -> int: ...
    @property
    def header_bytes(self) -> int: ...
    @property
    def app(self) -> int: ...
    @property
    def trouble(self) -> int: ...
    @property
    def filed(self) -> bool: ...


class Facts(NamedTuple):
    """Of one request. Sizes are bytes, durations seconds."""

    request: Request
    outcome: Answered
    core: int
    started: float
    """Seconds since the epoch."""
    elapsed: float
    memory: tuple[int, int] = (0, 0)
    """Of the worker, where that is asked for: resident, and address space."""
    served_by_worker: int = 0
    served_total: int = 0
    """Requests, this one included."""

    @property
    def packet_size(self) -> int:
        """Bytes of the variables, as a uwsgi packet would hold them: two lengths of two bytes each."""
        headers = self.request.headers
        size = 4 * len(headers) + len(b"".join(headers))
        for value in headers.values():
            size += len(value) if isinstance(value, bytes) else sum(map(len, value))
        return size
