"""What a server says to whoever connects: statistics, stacks."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def told_by(address: Path | str | tuple[str, int], say: bytes = b"", *, timeout: float = 10.0) -> bytes:
    """All that comes from there, a Unix socket or a port, until its end; *say* is said first."""
    with socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(address if isinstance(address, tuple) else str(address))
        if say:  # who has said all may be gone already
            sock.sendall(say)
        data = b""
        while piece := sock.recv(65536):
            data += piece
    return data


def statistics(address: Path | str | tuple[str, int], *, timeout: float = 10.0) -> Any:
    """The document of a statistics socket."""
    return json.loads(told_by(address, timeout=timeout))
