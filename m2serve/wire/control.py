"""Extended messages: orders to Mongrel2 about connections, not bytes for clients.

Source: mongrel2-protocol notes, section 6.2. The ids are preceded by ``X``, the body is one tnetstring list of a verb
and its arguments. A body that does not parse can end Mongrel2 itself, so nothing else here writes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from m2serve.errors import LocalProtocolError
from m2serve.wire import tnet

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGETS_MOST: Final = 127
"""``limits.handler_targets`` is 128 by default, and ``X`` may count as one."""

_KEEP_ALIVE: Final = tnet.dump([b"ctl", {b"keep-alive": b""}])


def keep_alive(sender: bytes, conn_ids: Sequence[bytes]) -> bytes:
    """The message that resets the idle timers of up to :data:`TARGETS_MOST` connections.

    Raises: LocalProtocolError: no connection, or too many.
    """
    if not 0 < len(conn_ids) <= TARGETS_MOST:
        raise LocalProtocolError(f"{len(conn_ids)} connections in one message, expected 1 to {TARGETS_MOST}")
    return _envelope(sender, b" ".join(conn_ids)) + _KEEP_ALIVE


def upload_credits(sender: bytes, conn_id: bytes, count: int) -> bytes:
    """The message that lets *count* more bytes of a streamed upload come.

    Raises: LocalProtocolError: the count is not positive.
    """
    if count <= 0:
        raise LocalProtocolError(f"{count} upload credits, expected a positive number")
    return _envelope(sender, conn_id) + tnet.dump([b"ctl", {b"credits": count}])


def _envelope(sender: bytes, ids: bytes) -> bytes:
    return b"%b %d:X %b, " % (sender, len(ids) + 2, ids)
